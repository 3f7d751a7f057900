// What the programs for Node share: telling each step, ending at the first difference, waiting for what others do.

import { isDeepStrictEqual } from "node:util";

export const PASSWORD = "correct horse battery staple";
const PATIENCE = 20_000;

// One red pixel.
export const PNG = Buffer.from(
    "89504e470d0a1a0a0000000d4948445200000001000000010802000000907753de" +
        "0000000c49444154789c63f8cfc0000003010100c9fe92ef0000000049454e44ae426082",
    "hex",
);

export class Difference extends Error {}

export function told(what) {
    process.stdout.write(`ok      ${what}\n`);
}

const shown = (value) => (typeof value === "string" ? value : JSON.stringify(value))?.slice(0, 600);

export function equal(what, got, wanted) {
    if (!isDeepStrictEqual(got, wanted)) throw new Difference(`${what}: got ${shown(got)}, not ${shown(wanted)}`);
    told(what);
}

export function check(what, holds, got) {
    if (!holds) throw new Difference(got === undefined ? what : `${what}: ${shown(got)}`);
    told(what);
}

// The answer of a request, or the end of the program with what was asked.
export async function done(what, asked) {
    try {
        const answer = await asked;
        told(what);
        return answer;
    } catch (error) {
        throw new Difference(`${what}: ${error.body ? JSON.stringify(error.body) : (error.stack ?? error)}`);
    }
}

// The error of a request that must be refused.
export async function refused(what, asked) {
    try {
        await asked;
    } catch (error) {
        told(what);
        return error;
    }
    throw new Difference(`${what}: it was not refused`);
}

// Looks until the answer is true.
export async function until(what, look, otherwise = () => undefined) {
    const end = Date.now() + PATIENCE;
    for (;;) {
        const answer = await look();
        if (answer) {
            told(what);
            return answer;
        }
        if (Date.now() > end) {
            throw new Difference(`after ${PATIENCE / 1000} s still not: ${what}; instead: ${shown(otherwise())}`);
        }
        await new Promise((resolve) => setTimeout(resolve, 10));
    }
}

// What came in so far. A wait takes out what it waited for, so that the next one finds the next.
export class Seen {
    #items = [];

    add(item) {
        this.#items.push(item);
    }

    wait(what, fits) {
        const take = () => {
            const index = this.#items.findIndex(fits);
            return index < 0 ? undefined : this.#items.splice(index, 1)[0];
        };
        return until(`saw ${what}`, take, () => this.#items.slice(-8));
    }
}

export function run(main) {
    main(...process.argv.slice(2)).then(
        () => process.exit(0),
        (error) => {
            const told = error instanceof Difference ? error.message : (error.stack ?? error);
            process.stdout.write(`FAILED  ${told}\n`, () => process.exit(1));
        },
    );
}

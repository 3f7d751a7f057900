// matrix-bot-sdk's application service as bridges use it. Arguments: the homeserver's URL, the partner's user ID, the file
// with the registration (JSON).

import "./quiet.mjs";

import { readFile } from "node:fs/promises";

import { Appservice, MemoryStorageProvider } from "matrix-bot-sdk";

import { converse, profile } from "./bot_conversation.mjs";
import { Seen, done, equal, run } from "./steps.mjs";

const LONG_AGO = 1_421_416_883_000;

run(async (homeserver, partner, file) => {
    const registration = JSON.parse(await readFile(file));
    const { hostname, port } = new URL(registration.url);
    const server = partner.split(":")[1];
    const appservice = new Appservice({
        port: Number(port),
        bindAddress: hostname,
        homeserverName: server,
        homeserverUrl: homeserver,
        storage: new MemoryStorageProvider(),
        registration,
    });
    const [seen, asked] = [new Seen(), []];
    appservice.on("room.event", (room, event) => seen.add({ room, event }));
    appservice.on("ephemeral.event", (event) => seen.add({ room: event.room_id, event }));
    appservice.on("query.user", (user, create) => {
        asked.push(user);
        create({ display_name: "Called" });
    });
    appservice.on("query.room", (alias, create) => {
        asked.push(alias);
        create({ name: "The lobby", preset: "public_chat" });
    });
    appservice.on("thirdparty.protocol", (protocol, answer) => answer({ user_fields: ["ring"], location_fields: [], instances: [] }));
    await done("begin", appservice.begin());
    equal("whoami", (await appservice.botClient.getWhoAmI()).user_id, `@bridge_bot:${server}`);

    const ghost = appservice.getIntentForSuffix("ghost");
    await done("register a ghost", ghost.ensureRegistered());
    await profile(ghost.underlyingClient);
    await converse(ghost.underlyingClient, seen, partner, true);

    const question = await seen.wait("the question in the lobby", ({ event }) => event.content?.body === "is anybody here?");
    equal("the alias was asked for once", asked, [`#bridge_lobby:${server}`]);
    const doorman = appservice.getIntentForSuffix("doorman");
    await done("a ghost joins", doorman.ensureRegisteredAndJoined(question.room));
    const welcome = { msgtype: "m.text", body: `welcome, ${partner}` };
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(question.room)}/send/m.room.message/welcome`;
    await done("say welcome", doorman.underlyingClient.doRequest("PUT", path, { ts: LONG_AGO }, welcome));

    const called = appservice.getUserIdForSuffix("called");
    const invite = await seen.wait("the invitation of a ghost", ({ event }) => event.state_key === called);
    equal("it was asked for once", asked.slice(1), [called]);
    const intent = appservice.getIntentForUserId(called);
    await done("join", intent.joinRoom(invite.room));
    await done("answer", intent.sendText(invite.room, "you called?", "m.notice"));
    await seen.wait("the end", ({ event }) => event.content?.body === "that is all");
    await done("leave", intent.leaveRoom(invite.room));
    appservice.stop();
});

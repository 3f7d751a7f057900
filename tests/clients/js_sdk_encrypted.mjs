// matrix-js-sdk with its encryption: two users, one of them with two devices. Arguments: the homeserver's URL, the
// partner's user ID (who sees nothing but ciphertext).

import "./quiet.mjs";

import * as sdk from "matrix-js-sdk";

import { PASSWORD, check, done, equal, run, until } from "./steps.mjs";

async function logIn(homeserver, name) {
    const stranger = sdk.createClient({ baseUrl: homeserver });
    const session = await done(`${name} logs in`, stranger.loginWithPassword(name, PASSWORD));
    const client = sdk.createClient({
        baseUrl: homeserver,
        userId: session.user_id,
        deviceId: session.device_id,
        accessToken: session.access_token,
    });
    await done("start its encryption", client.initRustCrypto({ useIndexedDB: false }));
    await client.startClient({ initialSyncLimit: 20 });
    await until("it syncs", () => client.getSyncState() === sdk.SyncState.Syncing);
    return client;
}

async function register(homeserver, name) {
    const auth = { type: "m.login.dummy" };
    const request = { username: name, password: PASSWORD, inhibit_login: true, auth };
    await done(`${name} registers`, sdk.createClient({ baseUrl: homeserver }).registerRequest(request));
    return logIn(homeserver, name);
}

const reads = (client, id, body) =>
    until(`${client.getUserId()} on ${client.getDeviceId()} reads ${body}`, () =>
        client
            .getRoom(id)
            ?.getLiveTimeline()
            .getEvents()
            .find((event) => event.getContent().body === body && event.isEncrypted() && !event.isDecryptionFailure()),
    );

run(async (homeserver, partner) => {
    const alice = await register(homeserver, "js-alice");
    const bob = await register(homeserver, "js-bob");
    const auth = (client) => async (send) => {
        const user = client.getUserId();
        await send({ type: "m.login.password", identifier: { type: "m.id.user", user }, user, password: PASSWORD });
    };
    const crossSigning = { authUploadDeviceSigningKeys: auth(alice) };
    await done("upload the keys for cross-signing", alice.getCrypto().bootstrapCrossSigning(crossSigning));
    check("they are ready", await alice.getCrypto().isCrossSigningReady());

    const encryption = { type: "m.room.encryption", state_key: "", content: { algorithm: "m.megolm.v1.aes-sha2" } };
    const options = { invite: [bob.getUserId(), partner], initial_state: [encryption], name: "A secret" };
    const { room_id: id } = await done("create an encrypted room", alice.createRoom(options));
    await until("bob is invited", () => bob.getRoom(id));
    await done("bob joins", bob.joinRoom(id));
    await until("alice sees him", () => alice.getRoom(id)?.getMember(bob.getUserId())?.membership === "join");
    const { event_id: sent } = await done("send", alice.sendTextMessage(id, "the first secret"));
    const read = await reads(bob, id, "the first secret");
    equal("it is the same event", read.getId(), sent);
    const raw = await done("ask for what the server has", bob.http.authedRequest("GET", `/rooms/${encodeURIComponent(id)}/event/${encodeURIComponent(sent)}`));
    equal("it has the ciphertext only", [raw.type, raw.content.body], ["m.room.encrypted", undefined]);
    await done("answer", bob.sendTextMessage(id, "the second secret"));
    await reads(alice, id, "the second secret");

    // A device that was not there when the conversation began.
    const phone = await logIn(homeserver, "js-bob");
    await until("alice hears of the new device", async () =>
        (await alice.getCrypto().getUserDeviceInfo([bob.getUserId()])).get(bob.getUserId())?.has(phone.getDeviceId()),
    );
    await until("the new device knows the room", () => phone.getRoom(id));
    await done("send to both", alice.sendTextMessage(id, "the third secret"));
    await reads(phone, id, "the third secret");
    await reads(bob, id, "the third secret");
    const owner = await alice.getCrypto().getUserVerificationStatus(alice.getUserId());
    check("alice trusts herself", owner.isCrossSigningVerified());
});

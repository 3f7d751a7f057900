// matrix-bot-sdk as bots use it. Arguments: the homeserver's URL, the partner's user ID.

import "./quiet.mjs";

import { AutojoinRoomsMixin, MatrixAuth, MemoryStorageProvider, MatrixClient } from "matrix-bot-sdk";

import { converse, profile } from "./bot_conversation.mjs";
import { PASSWORD, Seen, check, done, equal, refused, run, until } from "./steps.mjs";

async function logIn(homeserver, name) {
    const auth = new MatrixAuth(homeserver);
    await done(`${name} registers`, auth.passwordRegister(name, PASSWORD, "bot"));
    const { accessToken } = await done(`${name} logs in`, auth.passwordLogin(name, PASSWORD, "bot"));
    const client = new MatrixClient(homeserver, accessToken, new MemoryStorageProvider());
    equal("two devices", (await client.getOwnDevices()).length, 2);
    const seen = new Seen();
    for (const kind of ["room.event", "room.invite", "room.leave"]) client.on(kind, (room, event) => seen.add({ room, event }));
    return { client, seen };
}

async function meet(bot, other) {
    const { client } = bot;
    const [me, guest] = [await client.getUserId(), await other.client.getUserId()];
    const server = me.split(":")[1];
    // Of later versions matrix-bot-sdk does not know that creators may do anything.
    const options = { preset: "public_chat", name: "Lounge", room_version: "11" };
    const room = await done("create a public room", client.createRoom(options));
    const alias = `#bot-lounge:${server}`;
    await done("give it an alias", client.createRoomAlias(alias, room));
    equal("the alias leads to it", await other.client.resolveRoom(alias), room);
    await done("publish it", client.setDirectoryVisibility(room, "public"));
    equal("it is public", await client.getDirectoryVisibility(room), "public");
    await done("the other joins", other.client.joinRoom(alias));
    await done("raise the other", client.setUserPowerLevel(guest, room, 25));
    equal("it may not yet set the topic", await client.userHasPowerLevelFor(guest, room, "m.room.topic", true), false);
    await done("kick", client.kickUser(guest, room, "a test"));
    const kicked = await other.seen.wait("the kick", ({ event }) => event.state_key === guest && event.content.membership === "leave");
    equal("its reason", kicked.event.content.reason, "a test");
    await done("ban", client.banUser(guest, room));
    equal("why the banned cannot join", (await refused("join", other.client.joinRoom(room))).body.errcode, "M_BAD_STATE");
    await done("unban", client.unbanUser(guest, room));

    AutojoinRoomsMixin.setupOnClient(other.client);
    await done("invite", client.inviteUser(guest, room));
    await until("the other has accepted by itself", async () => (await client.getJoinedRoomMembers(room)).includes(guest));
    // Its own `createSpace` gives the creator a level, which rooms of version 12 refuse.
    const plain = { name: "Space", creation_content: { type: "m.space" } };
    const space = await client.getSpace(await done("create a space", client.createRoom(plain)));
    await done("put the room into it", space.addChildRoom(room));
    equal("its children", Object.keys(await space.getChildEntities()), [room]);
    await done("set account data", client.setAccountData("org.example.settings", { colour: "blue" }));
    equal("it comes back", await client.getAccountData("org.example.settings"), { colour: "blue" });
    check("an OpenID token", (await client.getOpenIDConnectToken()).access_token);
}

run(async (homeserver, partner) => {
    const [bot, other] = [await logIn(homeserver, "bot"), await logIn(homeserver, "bot-other")];
    await profile(bot.client);
    await done("start", bot.client.start());
    await done("start the other", other.client.start());
    await converse(bot.client, bot.seen, partner, false);
    await meet(bot, other);
});

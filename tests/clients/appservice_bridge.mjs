// matrix-appservice-bridge as bridges use it. Arguments: the homeserver's URL, the partner's user ID, the file with the
// registration (JSON).

import "./quiet.mjs";

import { readFile } from "node:fs/promises";

import { AppServiceRegistration, Bridge } from "matrix-appservice-bridge";

import { converse, profile } from "./bot_conversation.mjs";
import { PNG, Seen, done, equal, refused, run } from "./steps.mjs";

const LONG_AGO = 1_421_416_883_000;

run(async (homeserver, partner, file) => {
    const registration = JSON.parse(await readFile(file));
    const { hostname, port } = new URL(registration.url);
    const server = partner.split(":")[1];
    const [seen, asked] = [new Seen(), []];
    const take = (request) => {
        const event = request.getData();
        seen.add({ room: event.room_id, event });
    };
    const bridge = new Bridge({
        homeserverUrl: homeserver,
        domain: server,
        registration: AppServiceRegistration.fromObject(registration),
        disableStores: true,
        controller: {
            onEvent: take,
            onEphemeralEvent: take,
            onUserQuery: (user) => {
                asked.push(user.getId());
                return { name: "Called" };
            },
            onAliasQuery: (alias, localpart) => {
                asked.push(alias);
                return { creationOpts: { room_alias_name: localpart, name: "The lobby", preset: "public_chat" } };
            },
        },
    });
    await done("run", bridge.run(Number(port), undefined, hostname));
    const bot = bridge.getIntent();
    equal("whoami", (await bot.matrixClient.getWhoAmI()).user_id, `@bridge_bot:${server}`);
    await done("name the bot", bot.ensureProfile("The bridge"));

    const ghost = bridge.getIntent(`@bridge_ghost:${server}`);
    await done("register a ghost", ghost.ensureRegistered());
    await profile(ghost.matrixClient);
    await converse(ghost.matrixClient, seen, partner, true);

    const question = await seen.wait("the question in the lobby", ({ event }) => event.content?.body === "is anybody here?");
    equal("the alias was asked for once", asked, [`#bridge_lobby:${server}`]);
    await done("the round trip of a ping in the room", bridge.pingAppserviceRoute(question.room));
    const doorman = bridge.getIntent(`@bridge_doorman:${server}`);
    await done("a ghost joins", doorman.join(question.room));
    await done("and takes a name", doorman.setDisplayName("Doorman"));
    equal("its profile", (await doorman.getProfileInfo(doorman.userId, "displayname", false)).displayname, "Doorman");
    await done("set the topic", bot.setRoomTopic(question.room, "Pigeons"));
    equal("the topic", (await bot.getStateEvent(question.room, "m.room.topic")).topic, "Pigeons");
    await done("give the ghost power", bot.setPowerLevel(question.room, doorman.userId, 50));
    const picture = await done("upload a picture", bot.uploadContent(PNG, { name: "lobby.png", type: "image/png" }));
    await done("set the room's picture", doorman.setRoomAvatar(question.room, picture));
    await done("publish the room", bot.setRoomDirectoryVisibilityAppService(question.room, "loft", "public"));
    const list = `/_matrix/client/v3/publicRooms`;
    const lists = { third_party_instance_id: `${registration.id}|loft`, include_all_networks: false };
    const published = await done("look it up", bot.matrixClient.doRequest("POST", list, null, lists));
    equal("it is in the list of its network", published.chunk.map((room) => room.room_id), [question.room]);
    const welcome = { msgtype: "m.text", body: `welcome, ${partner}` };
    const path = `/_matrix/client/v3/rooms/${encodeURIComponent(question.room)}/send/m.room.message/welcome`;
    await done("say welcome", doorman.matrixClient.doRequest("PUT", path, { ts: LONG_AGO }, welcome));

    const called = `@bridge_called:${server}`;
    const invite = await seen.wait("the invitation of a ghost", ({ event }) => event.state_key === called);
    equal("it was asked for once", asked.slice(1), [called]);
    const intent = bridge.getIntent(called);
    await done("join", intent.join(invite.room));
    await done("answer", intent.sendMessage(invite.room, { msgtype: "m.notice", body: "you called?" }));
    await seen.wait("the end", ({ event }) => event.content?.body === "that is all");
    await refused("the bot is not let into the room of two", bot.matrixClient.joinRoom(invite.room));
    await done("leave", intent.leave(invite.room));
    // The end of the program is the end of the bridge: `close` waits, for up to 30 s, for connections that the homeserver
    // has opened in reserve.
});

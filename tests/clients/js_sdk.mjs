// matrix-js-sdk as its users use it. Arguments: the homeserver's URL, the partner's user ID.

import "./quiet.mjs";

import * as sdk from "matrix-js-sdk";

import { PASSWORD, PNG, check, done, equal, refused, run, until } from "./steps.mjs";

const { EventType, MsgType, RelationType } = sdk;

// A client that syncs.
class Js {
    constructor(client, unsynced) {
        this.client = client;
        // The same session in a client that only sends. js-sdk takes a message in a thread for lost when it comes back by
        // the sync before the request that sends it is answered.
        this.unsynced = unsynced;
    }

    static async logIn(homeserver, name) {
        const stranger = sdk.createClient({ baseUrl: homeserver });
        const wanted = { username: name, password: PASSWORD, inhibit_login: true };
        const challenge = await refused(`${name} is asked to authenticate`, stranger.registerRequest(wanted));
        check("with a session and flows", challenge.data.session && challenge.data.flows.length, challenge.data);
        const auth = { type: "m.login.dummy", session: challenge.data.session };
        await done(`${name} registers`, stranger.registerRequest({ ...wanted, auth }));
        const flows = (await done("ask how to log in", stranger.loginFlows())).flows.map((flow) => flow.type);
        check("by password", flows.includes("m.login.password"), flows);
        const identifier = { type: "m.id.user", user: name };
        const login = { type: "m.login.password", identifier, password: PASSWORD };
        const session = await done(`${name} logs in`, stranger.loginRequest(login));
        const client = () => sdk.createClient({
            baseUrl: homeserver,
            userId: session.user_id,
            deviceId: session.device_id,
            accessToken: session.access_token,
            timelineSupport: true,
        });
        const js = new Js(client(), client());
        equal("whoami", (await js.client.whoami()).user_id, session.user_id);
        return js;
    }

    async begin() {
        await this.client.startClient({ initialSyncLimit: 20, lazyLoadMembers: true, threadSupport: true });
        await until("the client is prepared", () => this.client.getSyncState() === sdk.SyncState.Syncing);
    }

    room(id) {
        return until("the client knows the room", () => this.client.getRoom(id));
    }

    // An event of the room, as the client shows it.
    event(room, what, fits) {
        const live = () => room.getLiveTimeline().getEvents();
        return until(
            `saw ${what}`,
            () => live().find((event) => !event.isSending() && fits(event)),
            () => live().map((event) => event.getEffectiveEvent()),
        );
    }

    text(room, body) {
        return this.event(room, `the text ${body}`, (event) => event.getContent().body === body);
    }

    // By the URL and the header that the client's application would use.
    async fetch(mxc, ...size) {
        const url = this.client.mxcUrlToHttp(mxc, ...size, ...Array(5 - size.length).fill(undefined), true, true);
        const answer = await fetch(url, { headers: { Authorization: `Bearer ${this.client.getAccessToken()}` } });
        check(`download from ${new URL(url).pathname.split("/").slice(1, 6).join("/")}`, answer.ok, answer.status);
        return answer;
    }
}

async function profile(js) {
    const { client } = js;
    const options = { name: "face.png", type: "image/png" };
    const { content_uri: face } = await done("upload an avatar", client.uploadContent(PNG, options));
    await done("set a display name", client.setDisplayName("Js the client"));
    await done("set an avatar", client.setAvatarUrl(face));
    const { displayname, avatar_url } = await client.getProfileInfo(client.getUserId());
    equal("the profile", [displayname, avatar_url], ["Js the client", face]);
    const small = await js.fetch(face, 32, 32, "crop");
    equal("the thumbnail is a picture", small.headers.get("content-type"), "image/png");
    check("uploads have a limit", (await client.getMediaConfig(true))["m.upload.size"] > 0);
    const capabilities = await done("ask for capabilities", client.fetchCapabilities());
    check("room version 11 is stable", capabilities["m.room_versions"].available["11"] === "stable", capabilities);
}

// The conversation that every client has with the partner of tests/it/clients/partner.rs.
async function converse(js, partner) {
    const { client } = js;
    const options = { name: "A conversation", topic: "What clients do", invite: [partner] };
    const { room_id: id } = await done("create a room", client.createRoom(options));
    const room = await js.room(id);
    await until("the partner joined", () => room.getMember(partner)?.membership === "join");
    equal("the room's name", room.name, "A conversation");

    const { event_id: helloId } = await done("send", client.sendTextMessage(id, "hello, partner"));
    const hello = await js.event(room, "the own hello", (event) => event.getId() === helloId);
    await until("the partner is typing", () => room.getMember(partner).typing);
    await until("the partner has read it", () => room.hasUserReadEvent(partner, helloId));
    await done("type", client.sendTyping(id, true, 20_000));

    const said = await js.text(room, "hello, client");
    equal("its sender", said.getSender(), partner);
    await done("stop typing", client.sendTyping(id, false, 0));
    await done("send a receipt", client.sendReadReceipt(said));
    await done("move the read marker", client.setRoomReadMarkers(id, said.getId(), said));
    const annotation = { rel_type: RelationType.Annotation, event_id: said.getId(), key: "👍" };
    const { event_id: thumb } = await done(
        "react",
        client.sendEvent(id, EventType.Reaction, { "m.relates_to": annotation }),
    );
    const replaced = { msgtype: MsgType.Text, body: "hello again, partner" };
    const replacement = {
        ...replaced,
        "body": "* hello again, partner",
        "m.new_content": replaced,
        "m.relates_to": { rel_type: RelationType.Replace, event_id: helloId },
    };
    await done("edit", client.sendMessage(id, replacement));
    await until("the own edit shows", () => hello.getContent().body === "hello again, partner");

    const reactions = () => room.relations.getChildEventsForEvent(helloId, RelationType.Annotation, EventType.Reaction);
    const party = await until("the partner's reaction", () => reactions()?.getSortedAnnotationsByKey()?.[0]);
    equal("who reacted how", [party[0], [...party[1]].map((event) => event.getSender())], ["🎉", [partner]]);
    await until("the partner's edit shows", () => said.getContent().body === "hello again, client");
    const file = await js.event(
        room,
        "the partner's file",
        (event) => event.getContent().msgtype === MsgType.File && event.getSender() === partner,
    );
    const fetched = await js.fetch(file.getContent().url);
    equal("its bytes", await fetched.text(), "from the partner\n");
    check("its name", /filename="?partner.txt/.test(fetched.headers.get("content-disposition")));

    const upload = { name: "client.txt", type: "text/plain" };
    const { content_uri: uri } = await done("upload a file", client.uploadContent(Buffer.from("from the client\n"), upload));
    await done("send it", client.sendMessage(id, { msgtype: MsgType.File, body: "client.txt", url: uri }));
    const { event_id: slip } = await done("send a slip", client.sendTextMessage(id, "a slip"));
    const theirs = await js.text(room, "my slip");
    await done("redact a message", client.redactEvent(id, slip, undefined, { reason: "it slipped" }));
    await until("the partner's slip is redacted", () => theirs.isRedacted());
    const why = theirs.getUnsigned().redacted_because;
    equal("who did it and why", [why.sender, why.content.reason], [partner, "it slipped too"]);

    await history(js, id, helloId, said.getId(), thumb);
    await done("say goodbye", client.sendTextMessage(id, "goodbye"));
    await js.text(room, "goodbye");
    await done("leave", client.leave(id));
    await until("the client knows that it left", () => room.getMyMembership() === "leave");
    await done("forget", client.forget(id));
}

async function history(js, id, hello, said, thumb) {
    const { client } = js;
    const related = await done("ask for relations", client.relations(id, said, RelationType.Annotation, EventType.Reaction));
    equal("the reaction is there", related.events.map((event) => event.getId()), [thumb]);
    equal("and its parent", related.originalEvent.getId(), said);
    const event = await done("get the edited event", client.fetchRoomEvent(id, hello));
    const bundled = event.unsigned?.["m.relations"]?.["m.replace"];
    equal("its last edit is bundled", bundled?.content["m.new_content"].body, "hello again, partner");
    const at = await done("find an event by its time", client.timestampToEvent(id, event.origin_server_ts, sdk.Direction.Forward));
    equal("it is that one", at.event_id, hello);
    const set = client.getRoom(id).getUnfilteredTimelineSet();
    const timeline = await done("look around an event", client.getEventTimeline(set, hello));
    check("it is there", timeline.getEvents().some((event) => event.getId() === hello));
    const room = client.getRoom(id);
    for (let pages = 0; pages < 30 && room.oldState.paginationToken !== null; pages++) await client.scrollback(room, 5);
    const first = room.getLiveTimeline().getEvents()[0];
    equal("scrolling back ends at the beginning", first.getType(), EventType.RoomCreate);
}

// Two users: threads, directory, moderation, upgrade, spaces, search.
async function meet(js, other) {
    const { client } = js;
    const [me, guest] = [client.getUserId(), other.client.getUserId()];
    const options = { name: "Lounge", preset: "public_chat", visibility: "public", room_alias_name: "js-lounge" };
    const { room_id: id } = await done("create a public room", client.createRoom(options));
    const alias = `#js-lounge:${me.split(":")[1]}`;
    await until("the room is in the directory", async () =>
        (await other.client.publicRooms({ limit: 50 })).chunk.some((entry) => entry.room_id === id),
    );
    await done("the other joins by alias", other.client.joinRoom(alias));
    const [room, theirs] = [await js.room(id), await other.room(id)];
    await until("the other is a member", () => room.getMember(guest)?.membership === "join");

    await thread(js, other, room, theirs);

    await done("kick", client.kick(id, guest, "a test"));
    await until("the other is out", () => theirs.getMyMembership() === "leave");
    await done("ban", client.ban(id, guest));
    await refused("the banned cannot join", other.client.joinRoom(id));
    await done("unban", client.unban(id, guest));
    await done("invite", client.invite(id, guest, "come back"));
    await until("the other is invited", () => theirs.getMyMembership() === "invite");
    await done("accept", other.client.joinRoom(id));
    await done("set a topic", client.setRoomTopic(id, "Chairs"));
    await until("the topic is seen", () => topic(theirs) === "Chairs");
    await done("raise the other", client.setPowerLevel(id, guest, 50));
    await until("the other's power is seen", () => theirs.getMember(guest).powerLevel === 50);
    const { replacement_room: newer } = await done("upgrade the room", client.upgradeRoom(id, "10"));
    await until("the tombstone is seen", () =>
        theirs.currentState.getStateEvents(EventType.RoomTombstone, "")?.getContent().replacement_room === newer,
    );
    equal("the alias leads to the new room", (await client.getRoomIdForAlias(alias)).room_id, newer);
    equal("its name was copied", (await client.getStateEvent(newer, "m.room.name", "")).name, "Lounge");
}

const topic = (room) => room.currentState.getStateEvents(EventType.RoomTopic, "")?.getContent().topic;

async function thread(js, other, room, theirs) {
    const id = room.roomId;
    const { event_id: root } = await done("send a thread's root", js.client.sendTextMessage(id, "a long story"));
    await other.text(theirs, "a long story");
    const answer = (body) => ({ msgtype: MsgType.Text, body });
    await done("answer in the thread", other.unsynced.sendMessage(id, root, answer("tell it")));
    await done("go on in the thread", js.unsynced.sendMessage(id, root, answer("once upon a time")));
    const seen = await until("the thread is seen", () => room.getThread(root));
    await until(
        "it has two answers",
        () => seen.length === 2 && seen.replyToEvent?.getContent().body === "once upon a time",
        () => [seen.length, seen.replyToEvent?.getContent(), seen.events.map((event) => event.getContent())],
    );
    await done("list the threads", room.createThreadsTimelineSets().then(() => room.fetchRoomThreads()));
    equal("the thread is listed", room.getThreads().map((thread) => thread.id), [root]);
}

async function account(js, other) {
    const { client } = js;
    const [me, guest] = [client.getUserId(), other.client.getUserId()];
    check("push rules have come", client.pushRules?.global.override.some((rule) => rule.rule_id === ".m.rule.master"));
    await done("set account data", client.setAccountDataRaw("org.example.settings", { colour: "blue" }));
    await until("it comes back", () => client.getAccountData("org.example.settings")?.getContent().colour === "blue");

    const { room_id: id } = await done("create a room", client.createRoom({ preset: "private_chat", invite: [guest] }));
    await until("an invitation", () => other.client.getRoom(id)?.getMyMembership() === "invite");
    await done("join it", other.client.joinRoom(id));
    const room = await js.room(id);
    await until("the other is there", () => room.getMember(guest)?.membership === "join");
    equal("an unnamed room is named after its members", room.name, "js-other");
    await done("tag it", client.setRoomTag(id, "m.favourite", { order: 0.5 }));
    await until("the tag comes back", () => room.tags["m.favourite"]?.order === 0.5);
    await done("mention", other.client.sendMessage(id, { "msgtype": "m.text", "body": "psst", "m.mentions": { user_ids: [me] } }));
    await until("it counts as a highlight", () => room.getUnreadNotificationCount("highlight") === 1);
    const psst = await js.text(room, "psst");
    await done("read it", client.sendReadReceipt(psst));
    await until("nothing is unread", () => room.getUnreadNotificationCount("total") === 0);

    const messages = new Map([[guest, new Map([[other.client.getDeviceId(), { hello: "device" }]])]]);
    const heard = new Promise((resolve) => other.client.once(sdk.ClientEvent.ToDeviceEvent, resolve));
    await done("send to a device", client.sendToDevice("org.example.hello", messages));
    equal("it arrives", (await heard).getContent(), { hello: "device" });

    const space = { name: "Space", creation_content: { type: "m.space" } };
    const { room_id: spaceId } = await done("create a space", client.createRoom(space));
    await done("put the room into it", client.sendStateEvent(spaceId, "m.space.child", { via: [me.split(":")[1]] }, id));
    const hierarchy = await done("walk through it", client.getRoomHierarchy(spaceId));
    equal("both are found", hierarchy.rooms.map((entry) => entry.room_id), [spaceId, id]);
    const found = await done("search", client.searchRoomEvents({ term: "psst" }));
    equal("the message is found", found.results.map((result) => result.context.getEvent().getId()), [psst.getId()]);
    await until("the other is in the user directory", async () =>
        (await client.searchUserDirectory({ term: "js-other" })).results.some((user) => user.user_id === guest),
    );
    check("an OpenID token", (await client.getOpenIdToken()).access_token);
    const { devices } = await client.getDevices();
    equal("the only device", devices.map((device) => device.device_id), [client.getDeviceId()]);
}

run(async (homeserver, partner) => {
    const js = await Js.logIn(homeserver, "js");
    const other = await Js.logIn(homeserver, "js-other");
    await profile(js);
    await js.begin();
    await other.begin();
    await converse(js, partner);
    await meet(js, other);
    await account(js, other);
    await done("log out", other.client.logout(true));
    await refused("the token is void", other.client.whoami());
});

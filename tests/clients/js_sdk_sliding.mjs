// matrix-js-sdk with its sliding sync and encryption: two users who know only the rooms that they ask for. Arguments: the
// homeserver's URL, the partner's user ID (who is invited to a room).

import "./quiet.mjs";

import { isDeepStrictEqual } from "node:util";

import * as sdk from "matrix-js-sdk";
import { SlidingSync } from "matrix-js-sdk/lib/sliding-sync.js";

import { PASSWORD, check, done, equal, run, until } from "./steps.mjs";

const ENOUGH_STATE = [
    ["m.room.create", ""],
    ["m.room.name", ""],
    ["m.room.avatar", ""],
    ["m.room.topic", ""],
    ["m.room.encryption", ""],
    ["m.room.join_rules", ""],
    ["m.room.power_levels", ""],
    ["m.room.member", "$LAZY"],
    ["m.room.member", "$ME"],
];

// A client whose only way to hear of anything is sliding sync.
class Slider {
    static async register(homeserver, name) {
        const stranger = sdk.createClient({ baseUrl: homeserver });
        const request = { username: name, password: PASSWORD, inhibit_login: true, auth: { type: "m.login.dummy" } };
        await done(`${name} registers`, stranger.registerRequest(request));
        const session = await done(`${name} logs in`, stranger.loginWithPassword(name, PASSWORD));
        const slider = new Slider();
        slider.homeserver = homeserver;
        slider.client = sdk.createClient({
            baseUrl: homeserver,
            userId: session.user_id,
            deviceId: session.device_id,
            accessToken: session.access_token,
            timelineSupport: true,
        });
        return slider;
    }

    // With the rooms that are among the first of the list.
    async begin(ranges) {
        const { client } = this;
        await done("start its encryption", client.initRustCrypto({ useIndexedDB: false }));
        const list = { ranges, sort: ["by_recency"], timeline_limit: 1, required_state: ENOUGH_STATE, filters: {} };
        const opened = { timeline_limit: 3, required_state: [["*", "*"]] };
        this.sliding = new SlidingSync(this.homeserver, new Map([["all", list]]), opened, client, 20_000);
        await client.startClient({ slidingSync: this.sliding, lazyLoadMembers: true });
        await until("it syncs", () => client.getSyncState() === sdk.SyncState.Syncing);
    }

    room(id) {
        return until("the client knows the room", () => this.client.getRoom(id));
    }

    texts(room) {
        const events = room.getLiveTimeline().getEvents();
        return events.map((event) => event.getContent().body).filter((body) => body !== undefined);
    }

    text(room, body) {
        const events = () => room.getLiveTimeline().getEvents();
        return until(
            `saw the text ${body}`,
            () => events().find((event) => !event.isSending() && event.getContent().body === body),
            () => this.texts(room),
        );
    }
}

// Rooms come in as the window over the list grows, and as something happens in them.
async function windows(alice, bob) {
    const named = async (name) =>
        (await done(`create ${name}`, alice.client.createRoom({ name, preset: "public_chat" }))).room_id;
    const [first, second, third] = [await named("first"), await named("second"), await named("third")];
    for (const id of [first, second, third]) await done("bob joins it", bob.client.joinRoom(id));
    await bob.begin([[0, 1]]);
    const known = () => bob.client.getRooms().map((room) => room.name).sort();
    equal("the two newest rooms are known", known(), ["second", "third"]);
    equal("there are three", bob.sliding.getListData("all").joinedCount, 3);
    bob.sliding.setListRanges("all", [[0, 9]]);
    await until("the window has grown", () => known().length === 3, known);

    for (const body of ["one", "two", "three"]) {
        await done(`say ${body}`, alice.client.sendTextMessage(third, body));
    }
    const room = await bob.room(third);
    await bob.text(room, "three");
    equal("it counts as unread", room.getUnreadNotificationCount("total") > 0, true);
    bob.sliding.modifyRoomSubscriptions(new Set([third]));
    const texts = () => isDeepStrictEqual(bob.texts(room), ["one", "two", "three"]);
    await until("the room that is opened has more of its history", texts, () => bob.texts(room));
    await until("and its whole state", () => room.currentState.getStateEvents("m.room.history_visibility", ""));
    await done("scroll back", bob.client.scrollback(room, 50));
    equal("to the beginning", room.getLiveTimeline().getEvents()[0].getType(), "m.room.create");
    equal("once each", bob.texts(room), ["one", "two", "three"]);
    return room;
}

// What is told beside rooms.
async function beside(alice, bob, room) {
    const me = alice.client.getUserId();
    await done("alice types", alice.client.sendTyping(room.roomId, true, 20_000));
    await until("bob sees her typing", () => room.getMember(me)?.typing);
    const { event_id: said } = await done("alice speaks", alice.client.sendTextMessage(room.roomId, "read me"));
    const heard = await bob.text(room, "read me");
    equal("bob hears her", heard.getId(), said);
    await done("bob has read it", bob.client.sendReadReceipt(heard));
    await until("nothing is unread", () => room.getUnreadNotificationCount("total") === 0);
    const hers = await alice.room(room.roomId);
    await until("alice knows that he has", () => hers.hasUserReadEvent(bob.client.getUserId(), said));
    await done("bob tags the room", bob.client.setRoomTag(room.roomId, "m.favourite", { order: 0.5 }));
    await until("the tag comes back", () => room.tags["m.favourite"]?.order === 0.5);
    await done("set account data", bob.client.setAccountDataRaw("org.example.settings", { colour: "blue" }));
    await until("it comes back", () => bob.client.getAccountData("org.example.settings")?.getContent().colour === "blue");
    await done("rename the room", alice.client.setRoomName(room.roomId, "renamed"));
    await until("bob sees it", () => room.name === "renamed", () => room.name);
}

// An invitation into an encrypted room, whose keys come as messages to the device.
async function secrets(alice, bob, partner) {
    const content = { algorithm: "m.megolm.v1.aes-sha2" };
    const initial_state = [{ type: "m.room.encryption", state_key: "", content }];
    const options = { invite: [bob.client.getUserId(), partner], initial_state, name: "A secret" };
    const { room_id: id } = await done("create an encrypted room", alice.client.createRoom(options));
    const room = await bob.room(id);
    equal("bob is invited", [room.getMyMembership(), room.name], ["invite", "A secret"]);
    await done("bob joins", bob.client.joinRoom(id));
    await until("he is in", () => room.getMyMembership() === "join");
    const hers = await alice.room(id);
    await until("alice sees him", () => hers.getMember(bob.client.getUserId())?.membership === "join");
    await done("alice speaks", alice.client.sendTextMessage(id, "the first secret"));
    const heard = await bob.text(room, "the first secret");
    check("it was encrypted", heard.isEncrypted() && !heard.isDecryptionFailure());
    await done("bob answers", bob.client.sendTextMessage(id, "the second secret"));
    await alice.text(hers, "the second secret");
}

run(async (homeserver, partner) => {
    const alice = await Slider.register(homeserver, "js-alice");
    const bob = await Slider.register(homeserver, "js-bob");
    await alice.begin([[0, 99]]);
    const room = await windows(alice, bob);
    await beside(alice, bob, room);
    await secrets(alice, bob, partner);
    alice.client.stopClient();
    bob.client.stopClient();
});

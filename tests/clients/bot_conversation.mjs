// The conversation with the partner of tests/it/clients/partner.rs by matrix-bot-sdk's client, which bots have for
// themselves and application services for their users.

import { PNG, check, done, equal, told } from "./steps.mjs";

export async function profile(client) {
    const face = await done("upload an avatar", client.uploadContent(PNG, "image/png", "face.png"));
    await done("set a display name", client.setDisplayName("Bot the client"));
    await done("set an avatar", client.setAvatarUrl(face));
    const { displayname, avatar_url } = await client.getUserProfile(await client.getUserId());
    equal("the profile", [displayname, avatar_url], ["Bot the client", face]);
    const headers = { Authorization: `Bearer ${client.accessToken}` };
    const small = await fetch(await client.mxcToHttpThumbnail(face, 32, 32, "crop"), { headers });
    equal("the thumbnail is a picture", small.headers.get("content-type"), "image/png");
}

// `seen` holds `{ room, event }`. A bot's sync shows no typing and no receipts; an application service gets both.
export async function converse(client, seen, partner, hasEphemeral) {
    const me = await client.getUserId();
    const options = { name: "A conversation", topic: "What clients do", invite: [partner] };
    const room = await done("create a room", client.createRoom(options));
    const wait = (what, fits) => seen.wait(what, (item) => item.room === room && fits(item.event)).then((item) => item.event);
    const text = (body) => wait(`the text ${body}`, (event) => event.content?.body === body);
    await wait("the partner join", (event) => event.state_key === partner && event.content.membership === "join");
    equal("the room's name", (await client.getRoomStateEvent(room, "m.room.name", "")).name, "A conversation");

    const hello = await done("send", client.sendText(room, "hello, partner"));
    if (hasEphemeral) {
        await wait("the partner typing", (event) => event.type === "m.typing" && event.content.user_ids.includes(partner));
        await wait("the partner's receipt", (event) => event.content?.[hello]?.["m.read"]?.[partner]);
    }
    await done("type", client.setTyping(room, true, 20_000));
    const said = await text("hello, client");
    equal("its sender", said.sender, partner);
    await done("stop typing", client.setTyping(room, false));
    await done("send a receipt", client.sendReadReceipt(room, said.event_id));
    const annotation = { rel_type: "m.annotation", event_id: said.event_id, key: "👍" };
    const thumb = await done("react", client.sendEvent(room, "m.reaction", { "m.relates_to": annotation }));
    const replaced = { msgtype: "m.text", body: "hello again, partner" };
    const replacement = {
        ...replaced,
        "body": "* hello again, partner",
        "m.new_content": replaced,
        "m.relates_to": { rel_type: "m.replace", event_id: hello },
    };
    await done("edit", client.sendMessage(room, replacement));

    const reaction = await wait("the partner's reaction", (event) => event.type === "m.reaction" && event.sender === partner);
    const { key, event_id: parent } = reaction.content["m.relates_to"];
    equal("the reaction", [key, parent], ["🎉", hello]);
    const edit = await text("* hello again, client");
    equal("what it replaces", edit.content["m.relates_to"].event_id, said.event_id);
    const file = await wait("the partner's file", (event) => event.content?.msgtype === "m.file" && event.sender === partner);
    const { data, contentType } = await done("download it", client.downloadContent(file.content.url));
    equal("its bytes and type", [data.toString(), contentType], ["from the partner\n", "text/plain"]);

    const bytes = Buffer.from("from the client\n");
    const url = await done("upload a file", client.uploadContent(bytes, "text/plain", "client.txt"));
    await done("send it", client.sendMessage(room, { msgtype: "m.file", body: "client.txt", url }));
    const slip = await done("send a slip", client.sendText(room, "a slip"));
    await text("my slip");
    await done("redact a message", client.redactEvent(room, slip, "it slipped"));
    const redaction = await wait("the partner's redaction", (event) => event.type === "m.room.redaction" && event.sender === partner);
    equal("its reason", redaction.content.reason, "it slipped too");
    const pruned = await client.getRawEvent(room, redaction.redacts ?? redaction.content.redacts);
    equal("what was redacted is empty", pruned.content, {});

    const related = await done("ask for relations", client.getRelationsForEvent(room, said.event_id, "m.annotation"));
    equal("the reaction is there", related.chunk.map((event) => event.event_id), [thumb]);
    const context = await done("ask for a context", client.getEventContext(room, hello, 4));
    check("it has a before and an after", context.before.length && context.after.length);
    equal("who is in the room", (await client.getJoinedRoomMembers(room)).sort(), [me, partner].sort());
    equal("the partner may not ban", await client.userHasPowerLevelForAction(partner, room, "ban"), false);
    await done("reply", client.replyText(room, said, "indeed"));
    await done("say goodbye", client.sendText(room, "goodbye"));
    await done("leave", client.leaveRoom(room));
    equal("it is left", (await client.getJoinedRooms()).includes(room), false);
    told("the conversation is over");
}

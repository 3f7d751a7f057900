use ruma::{event_id, owned_user_id};
use serde_json::json;

use super::{
    Relations, for_network, new_content, notice, object, reaction, relate, relations, relayed, replacement,
    txn_id,
};
use crate::{bridge::Sender, network_id::PortalKey};

#[test]
fn the_same_operation_has_the_same_transaction_id_and_another_has_another() {
    let portal = PortalKey::shared("#a");
    assert_eq!(txn_id(&portal, &["m1", "", "send"]), txn_id(&portal, &["m1", "", "send"]));
    for other in [
        txn_id(&portal, &["m1", "s", "end"]),
        txn_id(&portal, &["m1", "", "edit"]),
        txn_id(&PortalKey::shared("#b"), &["m1", "", "send"]),
        txn_id(&PortalKey::private("#a", "l"), &["m1", "", "send"]),
    ] {
        assert_ne!(txn_id(&portal, &["m1", "", "send"]), other);
    }
}

#[test]
fn what_is_related_is_read_back() {
    let text = || object(json!({ "msgtype": "m.text", "body": "hi" }));
    let (one, root) = (event_id!("$one"), event_id!("$root"));
    assert_eq!(relations(&text()), Relations::default());
    assert_eq!(
        relations(&relate(text(), Some(one), None)),
        Relations { reply_to: Some("$one".into()), ..Relations::default() }
    );
    assert_eq!(
        relations(&relate(text(), None, Some(root))),
        Relations { thread: Some("$root".into()), ..Relations::default() },
        "the fallback of a thread is no answer"
    );
    assert_eq!(
        relations(&relate(text(), Some(one), Some(root))),
        Relations { thread: Some("$root".into()), reply_to: Some("$one".into()), ..Relations::default() }
    );
    assert_eq!(
        relations(&replacement(text(), one)),
        Relations { replaces: Some("$one".into()), ..Relations::default() }
    );
    assert_eq!(
        relations(&reaction(one, "👍")),
        Relations { annotates: Some(("$one".into(), "👍".into())), ..Relations::default() }
    );
}

#[test]
fn malformed_relations_are_none() {
    for content in [
        json!({ "m.relates_to": 5 }),
        json!({ "m.relates_to": { "rel_type": "m.replace" } }),
        json!({ "m.relates_to": { "rel_type": "m.annotation", "event_id": "$a", "key": 1 } }),
        json!({ "m.relates_to": { "m.in_reply_to": "$a" } }),
    ] {
        assert_eq!(relations(&object(content.clone())), Relations::default(), "{content}");
    }
}

#[test]
fn a_replacement_shows_a_star_to_clients_that_know_none() {
    let content = replacement(object(json!({ "msgtype": "m.text", "body": "new" })), event_id!("$a"));
    assert_eq!(content["body"], "* new");
    assert_eq!(new_content(&content)["body"], "new");
}

#[test]
fn the_quotation_before_an_answer_is_left_out() {
    for (body, expected) in [
        ("> <@a:b> old\n> more\n\nnew", "new"),
        ("> <@a:b> old", "> <@a:b> old"),
        ("plain", "plain"),
        ("> one\n\n> two", "> two"),
    ] {
        let content = object(json!({ "body": body, "formatted_body": "<mx-reply>old</mx-reply>new" }));
        let content = for_network(content, "m.room.message", true);
        assert_eq!(content["body"], expected, "{body:?}");
        assert_eq!(content["formatted_body"], "new");
    }
    let kept = for_network(object(json!({ "body": "> quoted\n\ntext" })), "m.room.message", false);
    assert_eq!(
        kept["body"], "> quoted\n\ntext",
        "a quotation in a message that answers nothing is the author's"
    );
}

#[test]
fn a_sticker_arrives_as_a_picture() {
    let content = for_network(object(json!({ "body": "cat", "url": "mxc://a/b" })), "m.sticker", false);
    assert_eq!(content["msgtype"], "m.image");
}

#[test]
fn a_relayed_message_names_its_author_and_no_name_breaks_the_line_or_the_markup() {
    let sender = Sender {
        user_id: owned_user_id!("@alice:hs"),
        display_name: Some("A\n<b>".to_owned()),
        relayed: true,
    };
    let content = object(json!({ "msgtype": "m.text", "body": "hi", "formatted_body": "<i>hi</i>" }));
    let content = relayed(content, &sender);
    assert_eq!(content["body"], "<A <b>> hi");
    assert_eq!(content["formatted_body"], "<strong>&lt;A &lt;b&gt;&gt;</strong> <i>hi</i>");
    let emote = relayed(object(json!({ "msgtype": "m.emote", "body": "waves" })), &sender);
    assert_eq!((&emote["msgtype"], &emote["body"]), (&json!("m.text"), &json!("* A <b> waves")));
}

#[test]
fn a_notice_answers_the_event_that_it_is_about_and_mentions_nobody() {
    let content = notice("not sent", Some(event_id!("$a")));
    assert_eq!(content["msgtype"], "m.notice");
    assert_eq!(content["m.mentions"], json!({}));
    assert_eq!(content["m.relates_to"]["m.in_reply_to"]["event_id"], "$a");
}

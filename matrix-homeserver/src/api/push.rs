//! [Push notifications](https://spec.matrix.org/v1.19/client-server-api/#push-notifications): rules, pushers, and what
//! a user was notified of.

use axum::{
    extract::State,
    routing::{get, post},
};
use ruma::{
    OwnedRoomId, OwnedUserId,
    push::{
        Action, AnyPushRuleRef, InsertPushRuleError, NewConditionalPushRule, NewPatternedPushRule,
        NewPushRule, NewSimplePushRule, PushCondition, RemovePushRuleError, RuleKind, Ruleset,
    },
};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Json, Params, Reply, Requester, Routes, Segments,
    read::{position, token},
};
use crate::{
    event::ClientFormat,
    room::Viewer,
    user::{Pusher, PusherId, rules_content, rules_json},
};

/// The most rules of one user.
const MAX_RULES: usize = 1_000;
/// The most that the push rules of a user take up, in bytes of JSON.
const MAX_RULES_BYTES: usize = 256 << 10;
/// The most pushers of a user.
const MAX_PUSHERS: usize = 100;
/// The most that a pusher takes up, in bytes of JSON.
const MAX_PUSHER_BYTES: usize = 16 << 10;
/// The most notifications in one answer.
const MAX_NOTIFICATIONS: usize = 100;

pub(super) fn routes() -> Routes {
    Routes::new()
        .since_2014("/pushrules", get(get_push_rules))
        .since_2014("/pushrules/", get(get_push_rules))
        .since_2014("/pushrules/global", get(get_push_rules_global))
        .since_2014("/pushrules/global/", get(get_push_rules_global))
        .since_2014(
            "/pushrules/global/{kind}/{rule_id}",
            get(get_push_rule).put(set_push_rule).delete(delete_push_rule),
        )
        .since_2014(
            "/pushrules/global/{kind}/{rule_id}/enabled",
            get(is_push_rule_enabled).put(set_push_rule_enabled),
        )
        .since_2014(
            "/pushrules/global/{kind}/{rule_id}/actions",
            get(get_push_rule_actions).put(set_push_rule_actions),
        )
        .since_2014("/pushers", get(get_pushers))
        .since_2014("/pushers/set", post(post_pusher))
        .v3("/notifications", get(get_notifications))
}

async fn get_push_rules(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let rules = app.users.push_rules(&requester.user_id)?;
    Ok(Reply(json!({"global": rules_json(&rules)})))
}

async fn get_push_rules_global(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    Ok(Reply(rules_json(&*app.users.push_rules(&requester.user_id)?)))
}

fn kind_of(kind: &str) -> ApiResult<RuleKind> {
    match RuleKind::from(kind) {
        known @ (RuleKind::Override
        | RuleKind::Underride
        | RuleKind::Sender
        | RuleKind::Room
        | RuleKind::Content) => Ok(known),
        _ => Err(ApiError::invalid_param("there is no such kind of push rule")),
    }
}

fn no_rule() -> ApiError {
    ApiError::not_found("there is no such push rule")
}

/// One rule, as it is in the ruleset.
fn rule_json(rules: &Ruleset, kind: &RuleKind, rule_id: &str) -> ApiResult<Value> {
    let list = rules_json(rules)[kind.as_str()].take();
    let mut rules = list.as_array().into_iter().flatten();
    rules.find(|rule| rule["rule_id"] == rule_id).cloned().ok_or_else(no_rule)
}

async fn get_push_rule(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
) -> ApiResult<Reply<Value>> {
    let kind = kind_of(&kind)?;
    rule_json(&*app.users.push_rules(&requester.user_id)?, &kind, &rule_id).map(Reply)
}

#[derive(Debug, Deserialize)]
struct Place {
    before: Option<String>,
    after: Option<String>,
}

#[derive(Debug, Deserialize)]
struct RuleBody {
    actions: Vec<Action>,
    #[serde(default)]
    conditions: Vec<PushCondition>,
    pattern: Option<String>,
}

fn new_rule(kind: &RuleKind, rule_id: String, body: RuleBody) -> ApiResult<NewPushRule> {
    let RuleBody { actions, conditions, pattern } = body;
    let conditional = |rule_id| NewConditionalPushRule::new(rule_id, conditions, actions.clone());
    Ok(match kind {
        RuleKind::Override => NewPushRule::Override(conditional(rule_id)),
        RuleKind::Underride => NewPushRule::Underride(conditional(rule_id)),
        RuleKind::Content => {
            let pattern = pattern.ok_or_else(|| ApiError::missing_param("a content rule has a pattern"))?;
            NewPushRule::Content(NewPatternedPushRule::new(rule_id, pattern, actions))
        }
        RuleKind::Room => {
            let room_id = OwnedRoomId::try_from(rule_id)
                .map_err(|_| ApiError::invalid_param("the ID of a room rule is a room ID"))?;
            NewPushRule::Room(NewSimplePushRule::new(room_id, actions))
        }
        _ => {
            let user_id = OwnedUserId::try_from(rule_id)
                .map_err(|_| ApiError::invalid_param("the ID of a sender rule is a user ID"))?;
            NewPushRule::Sender(NewSimplePushRule::new(user_id, actions))
        }
    })
}

async fn set_push_rule(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
    Params(place): Params<Place>,
    Json(body): Json<RuleBody>,
) -> ApiResult<Empty> {
    let kind = kind_of(&kind)?;
    let rule = new_rule(&kind, rule_id, body)?;
    let change = |rules: &mut Ruleset| {
        let is_new = rules.get(rule.kind(), rule.rule_id()).is_none();
        if is_new && rules.iter().count() >= MAX_RULES {
            return Err(ApiError::too_large("there are too many push rules"));
        }
        rules.insert(rule, place.after.as_deref(), place.before.as_deref()).map_err(|error| match error {
            InsertPushRuleError::UnknownRuleId => ApiError::not_found(error.to_string()),
            _ => ApiError::invalid_param(error.to_string()),
        })
    };
    change_rules(&app, &requester, change).await
}

async fn change_rules(
    app: &AppState,
    requester: &Requester,
    change: impl FnOnce(&mut Ruleset) -> ApiResult<()>,
) -> ApiResult<Empty> {
    let bounded = |rules: &mut Ruleset| {
        change(rules)?;
        if rules_content(rules).get().len() > MAX_RULES_BYTES {
            return Err(ApiError::too_large("the push rules take up too much; delete some of them"));
        }
        Ok(())
    };
    app.users.change_push_rules(&requester.user_id, bounded).await?;
    app.rooms.wakers().wake(&requester.user_id);
    Ok(Empty)
}

async fn delete_push_rule(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
) -> ApiResult<Empty> {
    let kind = kind_of(&kind)?;
    let change = |rules: &mut Ruleset| {
        rules.remove(kind, &rule_id).map_err(|error| match error {
            RemovePushRuleError::NotFound => no_rule(),
            _ => ApiError::invalid_param(error.to_string()),
        })
    };
    change_rules(&app, &requester, change).await
}

/// Shows one member of a rule.
fn show<T>(
    app: &AppState,
    requester: &Requester,
    kind: &str,
    rule_id: &str,
    member: impl FnOnce(AnyPushRuleRef<'_>) -> T,
) -> ApiResult<T> {
    let rules = app.users.push_rules(&requester.user_id)?;
    rules.get(kind_of(kind)?, rule_id).map(member).ok_or_else(no_rule)
}

async fn is_push_rule_enabled(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
) -> ApiResult<Reply<Value>> {
    show(&app, &requester, &kind, &rule_id, |rule| Reply(json!({"enabled": rule.enabled()})))
}

#[derive(Debug, Deserialize)]
struct Enabled {
    enabled: bool,
}

async fn set_push_rule_enabled(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
    Json(body): Json<Enabled>,
) -> ApiResult<Empty> {
    let kind = kind_of(&kind)?;
    let change = |rules: &mut Ruleset| rules.set_enabled(kind, &rule_id, body.enabled).map_err(|_| no_rule());
    change_rules(&app, &requester, change).await
}

async fn get_push_rule_actions(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
) -> ApiResult<Reply<Value>> {
    show(&app, &requester, &kind, &rule_id, |rule| Reply(json!({"actions": rule.actions()})))
}

#[derive(Debug, Deserialize)]
struct Actions {
    actions: Vec<Action>,
}

async fn set_push_rule_actions(
    State(app): State<AppState>,
    requester: Requester,
    Segments((kind, rule_id)): Segments<(String, String)>,
    Json(body): Json<Actions>,
) -> ApiResult<Empty> {
    let kind = kind_of(&kind)?;
    let change = |rules: &mut Ruleset| rules.set_actions(kind, &rule_id, body.actions).map_err(|_| no_rule());
    change_rules(&app, &requester, change).await
}

async fn get_pushers(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let pushers = app.users.pushers.of(&requester.user_id);
    let given: Vec<_> = pushers.into_iter().map(|pusher| pusher.given).collect();
    Ok(Reply(json!({ "pushers": given })))
}

/// The members of a pusher that have to be there, and how long they may be.
const PUSHER_TEXTS: [(&str, usize); 6] = [
    ("app_id", 64),
    ("pushkey", 512),
    ("app_display_name", 512),
    ("device_display_name", 512),
    ("lang", 512),
    ("kind", 64),
];

async fn post_pusher(
    State(app): State<AppState>,
    requester: Requester,
    Json(mut pusher): Json<Map<String, Value>>,
) -> ApiResult<Empty> {
    let text = |name: &str, longest: usize| match pusher.get(name).and_then(Value::as_str) {
        Some(text) if text.len() <= longest => Ok(text.to_owned()),
        Some(_) => Err(ApiError::invalid_param("a member of the pusher is too long")),
        None => Err(ApiError::missing_param("a member of the pusher is missing")),
    };
    let id = PusherId {
        user_id: requester.user_id.clone(),
        app_id: text("app_id", 64)?,
        pushkey: text("pushkey", 512)?,
    };
    if pusher.get("kind") == Some(&Value::Null) {
        app.push.remove(&id).await?;
        return Ok(Empty);
    }
    for (name, longest) in PUSHER_TEXTS {
        text(name, longest)?;
    }
    if pusher["kind"] != "http" {
        return Err(ApiError::invalid_param("there is no such kind of pusher"));
    }
    let url = pusher.get("data").and_then(|data| data["url"].as_str());
    let url = url.ok_or_else(|| ApiError::missing_param("data.url is missing"))?;
    if !is_gateway(url, app.config.plain_push_gateways) {
        return Err(ApiError::invalid_param("data.url is not the URL of a push gateway"));
    }
    if serde_json::to_vec(&pusher).map_or(0, |pusher| pusher.len()) > MAX_PUSHER_BYTES {
        return Err(ApiError::too_large("the pusher is too large"));
    }
    let known = app.users.pushers.get(&id).is_some();
    if !known && app.users.pushers.of(&requester.user_id).len() >= MAX_PUSHERS {
        return Err(ApiError::too_large("there are too many pushers; delete some of them"));
    }
    let beside = pusher.remove("append").is_some_and(|append| append == true);
    app.push.set(id, Pusher::new(pusher, requester.device_id), beside).await?;
    Ok(Empty)
}

fn is_gateway(url: &str, plain: bool) -> bool {
    url::Url::parse(url).is_ok_and(|url| {
        (url.scheme() == "https" || (plain && url.scheme() == "http"))
            && url.host().is_some()
            && url.path() == "/_matrix/push/v1/notify"
    })
}

#[derive(Debug, Deserialize)]
struct NotificationParams {
    from: Option<String>,
    limit: Option<usize>,
    only: Option<String>,
}

async fn get_notifications(
    State(app): State<AppState>,
    requester: Requester,
    Params(params): Params<NotificationParams>,
) -> ApiResult<Reply<Value>> {
    let before = params.from.as_deref().map(position).transpose()?;
    let limit = params.limit.unwrap_or(20).clamp(1, MAX_NOTIFICATIONS);
    let only_highlights = params.only.as_deref() == Some("highlight");
    let found = app.unread.notifications(&requester.user_id, before, limit, only_highlights)?;
    let next = found.last().filter(|_| found.len() == limit).map(|last| token(last.position));
    let viewer = Viewer {
        user_id: &requester.user_id,
        device_id: requester.device_id.as_deref(),
        format: ClientFormat::Full,
    };
    let mut notifications = Vec::with_capacity(found.len());
    for notification in found {
        notifications.push(json!({
            "actions": notification.actions,
            "event": app.rooms.render(&notification.event, &viewer, None)?,
            "read": notification.read,
            "room_id": notification.room_id,
            "ts": notification.event.pdu.origin_server_ts,
        }));
    }
    let mut reply = json!({ "notifications": notifications });
    if let Some(next) = next {
        reply["next_token"] = next.into();
    }
    Ok(Reply(reply))
}

//! What administrators may do: [server administration], and the few endpoints of
//! [Synapse's admin API](https://element-hq.github.io/synapse/latest/usage/administration/admin_api/) that bridges and
//! test harnesses ask for.
//!
//! [server administration]: https://spec.matrix.org/v1.19/client-server-api/#server-administration

use axum::{
    extract::State,
    routing::{get, post},
};
use http::StatusCode;
use ruma::{OwnedUserId, UserId};
use serde::Deserialize;
use serde_json::{Map, Value, json};

use super::{
    ApiError, ApiResult, AppState, Json, OptionalJson, Params, Reply, Requester, Routes, Segments,
    register::check_password,
};
use crate::user::{Account, Naming, NewAccount, NewSession, now_ms};

pub(super) mod deletions;
pub(super) mod registration_tokens;
pub(super) mod rooms;

pub(crate) use self::deletions::Deletions;

pub(super) fn routes() -> Routes {
    Routes::new()
        .v3("/admin/whois/{user_id}", get(get_whois))
        .v1("/admin/suspend/{user_id}", get(get_suspended).put(set_suspended))
        .v1("/admin/lock/{user_id}", get(get_locked).put(set_locked))
        .absolute("/_synapse/admin/v1/server_version", get(get_server_version))
        .absolute("/_synapse/admin/v1/whois/{user_id}", get(get_whois))
        .absolute("/_synapse/admin/v1/users/{user_id}/login", post(log_in_as))
        .absolute("/_synapse/admin/v1/users/{user_id}/admin", get(is_admin).put(set_admin))
        .absolute("/_synapse/admin/v1/reset_password/{user_id}", post(reset_password))
        .absolute("/_synapse/admin/v1/deactivate/{user_id}", post(deactivate))
        .absolute("/_synapse/admin/v1/username_available", get(username_available))
        .absolute("/_synapse/admin/v2/users", get(list_users))
        .absolute("/_synapse/admin/v2/users/{user_id}", get(get_user).put(put_user))
}

/// From where a user's devices were used. Everybody may ask about themselves.
async fn get_whois(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    if requester.user_id != user_id {
        requester.must_be_admin(&app)?;
    }
    local_account(&app, &user_id)?;
    let seen = app.users.seen(&user_id);
    let mut devices = Map::new();
    for (device_id, _) in app.users.devices(&user_id)? {
        let connections: Vec<Value> = seen
            .get(&device_id)
            .map(|seen| {
                json!({
                    "ip": seen.from.map(|from| from.to_string()),
                    "last_seen": seen.at,
                    "user_agent": seen.user_agent,
                })
            })
            .into_iter()
            .collect();
        devices.insert(device_id.to_string(), json!({"sessions": [{"connections": connections}]}));
    }
    Ok(Reply(json!({"user_id": user_id, "devices": devices})))
}

/// The account of a user of this server.
fn local_account(app: &AppState, user_id: &UserId) -> ApiResult<Account> {
    if !app.is_local(user_id) {
        return Err(ApiError::invalid_param("the user does not belong to this server"));
    }
    app.users.account(user_id)?.ok_or_else(|| ApiError::not_found("there is no such user"))
}

/// A user whom an administrator may look at. Only who is one learns whether there is such a user.
fn moderated(app: &AppState, requester: &Requester, user_id: &UserId) -> ApiResult<()> {
    requester.must_be_admin(app)?;
    let account = local_account(app, user_id)?;
    if account.deactivated {
        return Err(ApiError::not_found("the user is deactivated"));
    }
    if account.admin {
        return Err(ApiError::forbidden("the user is an administrator, too"));
    }
    Ok(())
}

async fn get_suspended(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    moderated(&app, &requester, &user_id)?;
    Ok(Reply(json!({"suspended": app.users.restrictions.of(&user_id).suspended})))
}

#[derive(Debug, Deserialize)]
struct Suspended {
    suspended: Option<bool>,
}

async fn set_suspended(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(Suspended { suspended }): Json<Suspended>,
) -> ApiResult<Reply<Value>> {
    moderated(&app, &requester, &user_id)?;
    let suspended = suspended.ok_or_else(|| ApiError::missing_param("suspended is missing"))?;
    app.users.restrictions.change(&user_id, |restriction| restriction.suspended = suspended).await?;
    Ok(Reply(json!({ "suspended": suspended })))
}

async fn get_locked(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    moderated(&app, &requester, &user_id)?;
    Ok(Reply(json!({"locked": app.users.restrictions.of(&user_id).locked})))
}

#[derive(Debug, Deserialize)]
struct Locked {
    locked: Option<bool>,
}

async fn set_locked(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(Locked { locked }): Json<Locked>,
) -> ApiResult<Reply<Value>> {
    moderated(&app, &requester, &user_id)?;
    let locked = locked.ok_or_else(|| ApiError::missing_param("locked is missing"))?;
    app.users.restrictions.change(&user_id, |restriction| restriction.locked = locked).await?;
    // Long polls of the user end.
    app.rooms.wakers().wake(&user_id);
    Ok(Reply(json!({ "locked": locked })))
}

async fn get_server_version() -> Reply<Value> {
    Reply(json!({"server_version": env!("CARGO_PKG_VERSION")}))
}

#[derive(Debug, Deserialize)]
struct LoginAs {
    valid_until_ms: Option<u64>,
}

/// A token of somebody else's, by which bridges act as the users that they puppet.
async fn log_in_as(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    OptionalJson(body): OptionalJson<LoginAs>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    local_account(&app, &user_id)?;
    if requester.user_id == user_id {
        return Err(ApiError::unknown("nobody logs in as himself this way"));
    }
    let mut session = NewSession { display_name: Some("admin login".to_owned()), ..NewSession::default() };
    if let Some(until) = body.valid_until_ms {
        let left = until.saturating_sub(now_ms());
        session.lifetime = Some(std::time::Duration::from_millis(left));
    }
    let login = app.users.log_in(&user_id, session).await?;
    Ok(Reply(json!({"access_token": login.access_token})))
}

async fn is_admin(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    Ok(Reply(json!({"admin": local_account(&app, &user_id)?.admin})))
}

#[derive(Debug, Deserialize)]
struct Admin {
    admin: bool,
}

async fn set_admin(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(Admin { admin }): Json<Admin>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    local_account(&app, &user_id)?;
    refuse_own_demotion(&requester, &user_id, admin)?;
    app.users.set_admin(&user_id, admin).await?;
    Ok(Reply(json!({})))
}

/// There is always somebody left who can undo it.
fn refuse_own_demotion(requester: &Requester, user_id: &UserId, admin: bool) -> ApiResult<()> {
    if requester.user_id == user_id && !admin {
        return Err(ApiError::unknown("nobody demotes himself; let another administrator do it"));
    }
    Ok(())
}

#[derive(Deserialize)]
struct ResetPassword {
    new_password: Option<String>,
    #[serde(default = "yes")]
    logout_devices: bool,
}

fn yes() -> bool {
    true
}

async fn reset_password(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(body): Json<ResetPassword>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    local_account(&app, &user_id)?;
    let password = body.new_password.ok_or_else(|| ApiError::missing_param("new_password is missing"))?;
    set_password(&app, &user_id, password, body.logout_devices).await?;
    Ok(Reply(json!({})))
}

async fn set_password(app: &AppState, user_id: &UserId, password: String, logout: bool) -> ApiResult<()> {
    check_password(&password)?;
    app.users.set_password(user_id, password).await?;
    if logout {
        app.users.remove_all_devices(user_id, None).await?;
    }
    Ok(())
}

#[derive(Debug, Default, Deserialize)]
struct Erase {
    #[serde(default)]
    erase: bool,
}

async fn deactivate(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    OptionalJson(body): OptionalJson<Erase>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    local_account(&app, &user_id)?;
    app.leave_all_rooms(&user_id).await?;
    if body.erase {
        app.users.erase(&user_id).await?;
    }
    app.users.deactivate(&user_id).await?;
    Ok(Reply(json!({"id_server_unbind_result": "success"})))
}

#[derive(Debug, Deserialize)]
struct Username {
    username: Option<String>,
}

async fn username_available(
    State(app): State<AppState>,
    requester: Requester,
    Params(Username { username }): Params<Username>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let name = username.ok_or_else(|| ApiError::missing_param("username is missing"))?;
    let user_id = app.users.new_user_id(&name, Naming::Appservice)?;
    if app.users.exists(&user_id)? {
        return Err(ApiError::user_in_use("the user ID is taken"));
    }
    Ok(Reply(json!({"available": true})))
}

/// What a list tells of an account.
fn summary(app: &AppState, user_id: &UserId, account: &Account) -> ApiResult<Map<String, Value>> {
    let profile = app.users.profile(user_id)?;
    let seen = app.users.seen(user_id).values().map(|seen| seen.at).max();
    let told = json!({
        "name": user_id,
        "is_guest": account.guest,
        "admin": account.admin,
        "deactivated": account.deactivated,
        "locked": app.users.restrictions.of(user_id).locked,
        "shadow_banned": false,
        "erased": app.users.has_erased(user_id)?,
        "user_type": null,
        "displayname": profile.get("displayname"),
        "avatar_url": profile.get("avatar_url"),
        "creation_ts": account.created,
        "last_seen_ts": seen,
    });
    match told {
        Value::Object(told) => Ok(told),
        _ => Ok(Map::new()),
    }
}

/// All that is told of an account. Consent to terms is not kept.
fn render(app: &AppState, user_id: &UserId, account: &Account) -> ApiResult<Value> {
    let mut told = summary(app, user_id, account)?;
    told.insert("suspended".to_owned(), app.users.restrictions.of(user_id).suspended.into());
    told.insert("appservice_id".to_owned(), json!(account.appservice));
    told.insert("threepids".to_owned(), json!(app.users.threepids(user_id)?));
    told.insert("external_ids".to_owned(), json!([]));
    for field in ["consent_server_notice_sent", "consent_ts", "consent_version"] {
        told.insert(field.to_owned(), Value::Null);
    }
    Ok(told.into())
}

async fn get_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let account = local_account(&app, &user_id)?;
    Ok(Reply(render(&app, &user_id, &account)?))
}

#[derive(Deserialize)]
struct PutUser {
    password: Option<String>,
    #[serde(default = "yes")]
    logout_devices: bool,
    displayname: Option<String>,
    avatar_url: Option<String>,
    admin: Option<bool>,
    deactivated: Option<bool>,
    locked: Option<bool>,
}

/// Makes a user, or changes what is named.
async fn put_user(
    State(app): State<AppState>,
    requester: Requester,
    Segments(user_id): Segments<OwnedUserId>,
    Json(body): Json<PutUser>,
) -> ApiResult<(StatusCode, Reply<Value>)> {
    requester.must_be_admin(&app)?;
    if !app.is_local(&user_id) {
        return Err(ApiError::invalid_param("the user does not belong to this server"));
    }
    refuse_own_demotion(&requester, &user_id, body.admin.unwrap_or(true))?;
    let is_new = !app.users.exists(&user_id)?;
    if is_new {
        let user_id = app.users.new_user_id(user_id.localpart(), Naming::Appservice)?;
        if let Some(password) = &body.password {
            check_password(password)?;
        }
        let account = NewAccount { password: body.password.clone(), ..NewAccount::default() };
        app.users.register(&user_id, account, None).await?;
    } else if let Some(password) = body.password.clone() {
        set_password(&app, &user_id, password, body.logout_devices).await?;
    }
    for (field, value) in [("displayname", &body.displayname), ("avatar_url", &body.avatar_url)] {
        if let Some(value) = value {
            app.set_profile_field(&user_id, field, Some(value.as_str().into()), true).await?;
        }
    }
    if let Some(admin) = body.admin {
        app.users.set_admin(&user_id, admin).await?;
    }
    if let Some(locked) = body.locked {
        app.users.restrictions.change(&user_id, |restriction| restriction.locked = locked).await?;
    }
    if body.deactivated == Some(true) {
        app.leave_all_rooms(&user_id).await?;
        app.users.deactivate(&user_id).await?;
    }
    let account = local_account(&app, &user_id)?;
    let status = if is_new { StatusCode::CREATED } else { StatusCode::OK };
    Ok((status, Reply(render(&app, &user_id, &account)?)))
}

#[derive(Debug, Deserialize)]
struct Page {
    from: Option<usize>,
    limit: Option<usize>,
    /// Part of the localpart or of the display name.
    name: Option<String>,
    /// Part of the user ID, where no name is asked for.
    user_id: Option<String>,
    #[serde(default)]
    deactivated: bool,
    #[serde(default = "yes")]
    guests: bool,
}

impl Page {
    fn has(&self, app: &AppState, user_id: &UserId, account: &Account) -> ApiResult<bool> {
        if account.deactivated && !self.deactivated || account.guest && !self.guests {
            return Ok(false);
        }
        let contains = |text: &str, part: &str| text.to_lowercase().contains(&part.to_lowercase());
        match (&self.name, &self.user_id) {
            (Some(name), _) if contains(user_id.localpart(), name) => Ok(true),
            (Some(name), _) => {
                let profile = app.users.profile(user_id)?;
                let shown = profile.get("displayname").and_then(Value::as_str);
                Ok(shown.is_some_and(|shown| contains(shown, name)))
            }
            (None, Some(part)) => Ok(contains(user_id.as_str(), part)),
            (None, None) => Ok(true),
        }
    }
}

async fn list_users(
    State(app): State<AppState>,
    requester: Requester,
    Params(page): Params<Page>,
) -> ApiResult<Reply<Value>> {
    requester.must_be_admin(&app)?;
    let mut accounts = Vec::new();
    for (user_id, account) in app.users.accounts()? {
        if page.has(&app, &user_id, &account)? {
            accounts.push((user_id, account));
        }
    }
    let (from, limit) = (page.from.unwrap_or(0), page.limit.unwrap_or(100).clamp(1, 1_000));
    let total = accounts.len();
    let mut users = Vec::new();
    for (user_id, account) in accounts.iter().skip(from).take(limit) {
        users.push(summary(&app, user_id, account)?);
    }
    let mut reply = json!({"users": users, "total": total});
    if from.saturating_add(limit) < total {
        reply["next_token"] = (from + limit).to_string().into();
    }
    Ok(Reply(reply))
}

//! [Content repository](https://spec.matrix.org/v1.19/client-server-api/#content-repository): the endpoints of today,
//! which need a token, and those of before, which do not.

use std::time::Duration;

use axum::{
    body::Body,
    extract::{Request, State},
    response::{IntoResponse, Response},
    routing::{get, post, put},
};
use http::{HeaderMap, HeaderValue, StatusCode, header};
use ruma::OwnedServerName;
use serde::Deserialize;
use serde_json::{Value, json};

use super::{
    ApiError, ApiResult, AppState, Empty, Params, Reply, Requester, Routes, Segments, extract::read_body,
};
use crate::media::{Content, Described, MediaError, Method, Size, ThumbnailError, content_disposition};

/// How long a download waits for content that has not come yet, unless the client says otherwise, and at most.
const PATIENCE: Duration = Duration::from_secs(20);
const MAX_PATIENCE: Duration = Duration::from_secs(60);
/// What content without a type is taken for.
const UNKNOWN_TYPE: &str = "application/octet-stream";
/// What pages may do that a browser makes of content: nothing
/// ([content security](https://spec.matrix.org/v1.19/client-server-api/#security-considerations-for-the-content-repository)).
const POLICY: &str = "sandbox; default-src 'none'; script-src 'none'; plugin-types application/pdf; \
     style-src 'unsafe-inline'; object-src 'self';";

pub(super) fn routes() -> Routes {
    let mut routes = Routes::new()
        .v1("/media/config", get(get_config_authed))
        .v1("/media/download/{server}/{media_id}", get(get_content_authed))
        .v1("/media/download/{server}/{media_id}/{filename}", get(get_content_override_name_authed))
        .v1("/media/thumbnail/{server}/{media_id}", get(get_content_thumbnail_authed))
        .absolute("/_matrix/media/v1/create", post(create_content));
    for version in ["v3", "r0", "v1"] {
        let path = |rest: &str| format!("/_matrix/media/{version}{rest}");
        routes = routes
            .absolute(&path("/upload"), post(upload_content))
            .absolute(&path("/upload/{server}/{media_id}"), put(upload_content_to_mxc))
            .absolute(&path("/config"), get(get_config_authed))
            .absolute(&path("/download/{server}/{media_id}"), get(get_content))
            .absolute(&path("/download/{server}/{media_id}/{filename}"), get(get_content_override_name))
            .absolute(&path("/thumbnail/{server}/{media_id}"), get(get_content_thumbnail));
    }
    routes
}

impl From<MediaError> for ApiError {
    fn from(error: MediaError) -> Self {
        let text = error.to_string();
        match error {
            MediaError::NotFound => Self::not_found(text),
            MediaError::NotYetUploaded => Self::new(StatusCode::GATEWAY_TIMEOUT, "M_NOT_YET_UPLOADED", text),
            MediaError::NotOwner => Self::forbidden(text),
            MediaError::Uploaded => Self::new(StatusCode::CONFLICT, "M_CANNOT_OVERWRITE_MEDIA", text),
            MediaError::TooManyUnused => Self::limit_exceeded(Duration::from_secs(60)),
            MediaError::File(_) => Self::internal(&error),
            MediaError::Store(error) => error.into(),
        }
    }
}

impl From<ThumbnailError> for ApiError {
    fn from(error: ThumbnailError) -> Self {
        match error {
            ThumbnailError::NotAPicture => Self::unknown(error.to_string()),
            ThumbnailError::TooLarge => Self::too_large(error.to_string()),
        }
    }
}

async fn get_config_authed(State(app): State<AppState>, _: Requester) -> Reply<Value> {
    Reply(json!({"m.upload.size": app.config.max_upload_size}))
}

#[derive(Debug, Deserialize)]
struct UploadParams {
    filename: Option<String>,
}

async fn upload_content(
    State(app): State<AppState>,
    requester: Requester,
    Params(params): Params<UploadParams>,
    request: Request,
) -> ApiResult<Reply<Value>> {
    let described = described(request.headers(), params)?;
    let bytes = body(&app, request.into_body()).await?;
    let media_id = app.media.upload(&requester.user_id, described, bytes).await?;
    Ok(Reply(json!({"content_uri": content_uri(&app, &media_id)})))
}

fn content_uri(app: &AppState, media_id: &str) -> String {
    format!("mxc://{}/{media_id}", app.config.server_name)
}

/// What comes with the bytes. A type that could not be sent back in a header is refused.
fn described(headers: &HeaderMap, params: UploadParams) -> ApiResult<Described> {
    let content_type = match headers.get(header::CONTENT_TYPE) {
        None => None,
        Some(value) => match value.to_str() {
            Ok(text) => Some(text.to_owned()),
            Err(_) => return Err(ApiError::invalid_param("the Content-Type is not readable")),
        },
    };
    Ok(Described { content_type, filename: params.filename })
}

async fn body(app: &AppState, body: Body) -> ApiResult<bytes::Bytes> {
    read_body(body, app.config.max_upload_size).await
}

async fn create_content(State(app): State<AppState>, requester: Requester) -> ApiResult<Reply<Value>> {
    let (media_id, upload) = app.media.create(&requester.user_id).await?;
    Ok(Reply(json!({
        "content_uri": content_uri(&app, &media_id),
        "unused_expires_at": upload.unused_expires_at(),
    })))
}

async fn upload_content_to_mxc(
    State(app): State<AppState>,
    requester: Requester,
    Segments((server, media_id)): Segments<(OwnedServerName, String)>,
    Params(params): Params<UploadParams>,
    request: Request,
) -> ApiResult<Empty> {
    must_be_local(&app, &server)?;
    // Before the bytes have come, as far as it can be known.
    app.media.completable(&requester.user_id, &media_id)?;
    let described = described(request.headers(), params)?;
    let bytes = body(&app, request.into_body()).await?;
    app.media.complete(&requester.user_id, &media_id, described, bytes).await?;
    Ok(Empty)
}

/// The content of other servers is not fetched.
fn must_be_local(app: &AppState, server: &OwnedServerName) -> ApiResult<()> {
    if *server == app.config.server_name {
        Ok(())
    } else {
        Err(ApiError::not_found("there is no such content on this server"))
    }
}

#[derive(Debug, Deserialize)]
struct DownloadParams {
    timeout_ms: Option<u64>,
}

type Mxc = (OwnedServerName, String);
type NamedMxc = (OwnedServerName, String, String);

async fn get_content_authed(
    State(app): State<AppState>,
    _: Requester,
    Segments((server, media_id)): Segments<Mxc>,
    Params(params): Params<DownloadParams>,
) -> ApiResult<Response> {
    download(&app, &server, &media_id, None, &params).await
}

async fn get_content_override_name_authed(
    State(app): State<AppState>,
    _: Requester,
    Segments((server, media_id, filename)): Segments<NamedMxc>,
    Params(params): Params<DownloadParams>,
) -> ApiResult<Response> {
    download(&app, &server, &media_id, Some(filename), &params).await
}

async fn get_content(
    State(app): State<AppState>,
    Segments((server, media_id)): Segments<Mxc>,
    Params(params): Params<DownloadParams>,
) -> ApiResult<Response> {
    download(&app, &server, &media_id, None, &params).await
}

async fn get_content_override_name(
    State(app): State<AppState>,
    Segments((server, media_id, filename)): Segments<NamedMxc>,
    Params(params): Params<DownloadParams>,
) -> ApiResult<Response> {
    download(&app, &server, &media_id, Some(filename), &params).await
}

fn patience(timeout_ms: Option<u64>) -> Duration {
    timeout_ms.map_or(PATIENCE, Duration::from_millis).min(MAX_PATIENCE)
}

async fn download(
    app: &AppState,
    server: &OwnedServerName,
    media_id: &str,
    filename: Option<String>,
    params: &DownloadParams,
) -> ApiResult<Response> {
    must_be_local(app, server)?;
    let Content { upload, bytes } = app.media.content(media_id, patience(params.timeout_ms)).await?;
    let content_type = upload.content_type.as_deref().unwrap_or(UNKNOWN_TYPE);
    let filename = filename.or(upload.filename);
    let disposition = content_disposition(content_type, filename.as_deref());
    Ok(content_response(bytes.into(), content_type, &disposition))
}

fn content_response(body: Body, content_type: &str, disposition: &str) -> Response {
    let mut response = body.into_response();
    let headers = response.headers_mut();
    let value = |text: &str| HeaderValue::from_str(text).unwrap_or(HeaderValue::from_static(UNKNOWN_TYPE));
    headers.insert(header::CONTENT_TYPE, value(content_type));
    if let Ok(disposition) = HeaderValue::from_str(disposition) {
        headers.insert(header::CONTENT_DISPOSITION, disposition);
    }
    headers.insert(header::CONTENT_SECURITY_POLICY, HeaderValue::from_static(POLICY));
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("private, max-age=31536000, immutable"));
    headers.insert("cross-origin-resource-policy", HeaderValue::from_static("cross-origin"));
    response
}

#[derive(Debug, Deserialize)]
struct ThumbnailParams {
    width: u32,
    height: u32,
    #[serde(default)]
    method: Method,
    timeout_ms: Option<u64>,
}

async fn get_content_thumbnail_authed(
    State(app): State<AppState>,
    _: Requester,
    Segments((server, media_id)): Segments<Mxc>,
    Params(params): Params<ThumbnailParams>,
) -> ApiResult<Response> {
    thumbnail(&app, &server, &media_id, &params).await
}

async fn get_content_thumbnail(
    State(app): State<AppState>,
    Segments((server, media_id)): Segments<Mxc>,
    Params(params): Params<ThumbnailParams>,
) -> ApiResult<Response> {
    thumbnail(&app, &server, &media_id, &params).await
}

async fn thumbnail(
    app: &AppState,
    server: &OwnedServerName,
    media_id: &str,
    params: &ThumbnailParams,
) -> ApiResult<Response> {
    if params.width == 0 || params.height == 0 {
        return Err(ApiError::invalid_param("a thumbnail has a width and a height"));
    }
    must_be_local(app, server)?;
    app.media.uploaded(media_id, patience(params.timeout_ms)).await?;
    let picture = async { Ok::<_, ApiError>(app.media.bytes(media_id).await?) };
    let size = Size::for_request(params.width, params.height);
    let made = app.media.thumbnails.thumbnail(media_id, picture, size, params.method).await?;
    let name = if made.content_type == "image/jpeg" { "thumbnail.jpg" } else { "thumbnail.png" };
    let disposition = content_disposition(made.content_type, Some(name));
    Ok(content_response(made.bytes.into(), made.content_type, &disposition))
}

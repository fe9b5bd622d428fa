//! What a hub means when it answers with another status than success, and what the user can do.

use std::time::Duration;

use pipeline::error::Error;
use ureq::http::StatusCode;

use super::client::{FileRequest, RepoKind};
use super::environment::HubSettings;
use super::retry::Failure;
use super::transport::Reply;

/// Help for a repository or revision that the hub does not know.
pub(super) const UNKNOWN_REPOSITORY: &str = "the hub knows no such repository or revision: check their names";

/// The failure that a reply other than success stands for.
pub(super) fn failure(settings: &HubSettings, request: &FileRequest, reply: &Reply) -> Failure {
    let HubSettings { endpoint, token, .. } = settings;
    let status = reply.status;
    let message = reply.header("x-error-message").or(reply.header("x-error-code")).unwrap_or_default();
    let said = if message.is_empty() { status.to_string() } else { format!("{status}: {message}") };
    let permanent = |help: &str| {
        Failure::from(Error::new(format!("{endpoint} refuses {request}")).because(said.clone()).help(help))
    };
    match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN if token.is_none() => permanent(
            "the repository is gated, private or does not exist: check its name, accept its terms on its page, and \
             set HF_TOKEN to a token that may read it",
        ),
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => permanent(
            "the token in HF_TOKEN may not read it: check the repository's name, accept its terms on its page, and \
             allow the token to read gated repositories",
        ),
        StatusCode::NOT_FOUND if request.kind == RepoKind::Dataset => permanent(&format!(
            "{UNKNOWN_REPOSITORY}; SET=download.revision=main takes a data set as it is now"
        )),
        StatusCode::NOT_FOUND => permanent(UNKNOWN_REPOSITORY),
        StatusCode::REQUEST_TIMEOUT | StatusCode::TOO_MANY_REQUESTS => {
            let help = if token.is_some() { "try later" } else { "try later, or set HF_TOKEN" };
            let wait = reply.header("retry-after").and_then(|text| text.trim().parse().ok());
            Failure::Transient { cause: said, help: help.to_owned(), wait: wait.map(Duration::from_secs) }
        }
        _ if status.is_server_error() => {
            Failure::transient_with_help(said, "the hub is out of order: try later")
        }
        _ => permanent("check HF_ENDPOINT"),
    }
}

//! Where the hub is, who asks, where its files are kept, and how long to try: what the environment variables of the
//! Hugging Face tools say.

use std::env;
use std::path::PathBuf;
use std::time::Duration;

use pipeline::error::{Error, OrFail, Result};
use ureq::http::Uri;

/// Everything that decides how files come from a hub. [`HubSettings::from_env`] reads what users of
/// the Hugging Face tools have set; tests and embedders fill the fields themselves.
#[derive(Clone)]
pub struct HubSettings {
    /// Base address without a trailing slash, `https://huggingface.co`.
    pub endpoint: String,
    /// Sent as a bearer token with every request to the endpoint.
    pub token: Option<String>,
    /// The cache folder, shared with the Python tools: `models--owner--name/{blobs,snapshots,refs}`.
    pub cache: PathBuf,
    /// Use the cache alone and ask nothing.
    pub offline: bool,
    /// A transfer that brings no byte for this long is given up and tried again.
    pub patience: Duration,
    /// How often a request or a transfer is tried in all; at least once.
    pub attempts: u32,
    /// Wait before the second attempt; doubled before each further one.
    pub pause: Duration,
}

impl HubSettings {
    /// Reads `HF_ENDPOINT`, `HF_TOKEN` (or the file `HF_TOKEN_PATH`, or `token` in `HF_HOME`),
    /// `HF_HUB_CACHE`, `HF_HOME` and `HF_HUB_OFFLINE`, with the Python library's defaults.
    ///
    /// # Errors
    /// An endpoint that is no http address; no home folder to keep the cache in.
    pub fn from_env() -> Result<Self> {
        Self::from_variables(|name| env::var(name).ok().filter(|value| !value.trim().is_empty()))
    }

    fn from_variables(variable: impl Fn(&str) -> Option<String>) -> Result<Self> {
        let home = variable("HF_HOME")
            .map(PathBuf::from)
            .or_else(|| variable("XDG_CACHE_HOME").map(|folder| PathBuf::from(folder).join("huggingface")))
            .or_else(|| variable("HOME").map(|folder| PathBuf::from(folder).join(".cache/huggingface")));
        let cache = variable("HF_HUB_CACHE")
            .or_else(|| variable("HUGGINGFACE_HUB_CACHE"))
            .map(PathBuf::from)
            .or_else(|| home.as_ref().map(|folder| folder.join("hub")))
            .ok_or_else(|| {
                Error::new("no folder to keep the hub's files in")
                    .help("set HF_HOME or HF_HUB_CACHE to a folder that can be written to")
            })?;
        let token = variable("HF_TOKEN").map(|token| token.trim().to_owned()).or_else(|| {
            let file = variable("HF_TOKEN_PATH").map(PathBuf::from).or_else(|| Some(home?.join("token")))?;
            let token = std::fs::read_to_string(file).ok()?.trim().to_owned();
            (!token.is_empty()).then_some(token)
        });
        let endpoint = variable("HF_ENDPOINT").unwrap_or_else(|| "https://huggingface.co".to_owned());
        let settings = Self {
            endpoint: endpoint.trim().trim_end_matches('/').to_owned(),
            token,
            cache,
            offline: variable("HF_HUB_OFFLINE").is_some_and(|value| is_yes(&value)),
            patience: Duration::from_secs(30),
            attempts: 5,
            pause: Duration::from_secs(1),
        };
        settings.address()?;
        Ok(settings)
    }

    /// The endpoint as an address.
    ///
    /// # Errors
    /// It is no http or https address.
    pub(crate) fn address(&self) -> Result<Uri> {
        let wrong = || {
            Error::new(format!("HF_ENDPOINT is `{}`, which is no http address", self.endpoint))
                .help("write it like https://huggingface.co, or leave it unset")
        };
        let address: Uri = self.endpoint.parse().or_fail(wrong)?;
        match address.scheme_str() {
            Some("http" | "https") if address.query().is_none() => Ok(address),
            _ => Err(wrong()),
        }
    }
}

/// What the Python library takes for yes.
fn is_yes(value: &str) -> bool {
    matches!(value.trim().to_ascii_lowercase().as_str(), "1" | "true" | "yes" | "on")
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn read(set: &[(&str, &str)]) -> Result<HubSettings> {
        HubSettings::from_variables(|name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn the_cache_is_where_the_python_tools_have_it() {
        assert_eq!(read(&[("HOME", "/h")]).unwrap().cache, PathBuf::from("/h/.cache/huggingface/hub"));
        assert_eq!(read(&[("HOME", "/h"), ("HF_HOME", "/hf")]).unwrap().cache, PathBuf::from("/hf/hub"));
        let both = read(&[("HF_HOME", "/hf"), ("HF_HUB_CACHE", "/cache")]).unwrap();
        assert_eq!(both.cache, PathBuf::from("/cache"));
    }

    #[test]
    fn offline_is_any_yes_and_nothing_else() {
        let offline = |value| read(&[("HOME", "/h"), ("HF_HUB_OFFLINE", value)]).unwrap().offline;
        assert!(offline("1") && offline("TRUE") && offline("yes"));
        assert!(!offline("0") && !offline("false"));
    }

    #[test]
    fn an_endpoint_that_is_no_address_is_refused_by_name() {
        let error = read(&[("HOME", "/h"), ("HF_ENDPOINT", "huggingface.co")]).err().unwrap().to_string();
        assert!(error.contains("HF_ENDPOINT") && error.contains("huggingface.co"), "{error}");
        let slash = read(&[("HOME", "/h"), ("HF_ENDPOINT", "http://mirror:80/")]).unwrap();
        assert_eq!(slash.endpoint, "http://mirror:80");
    }

    #[test]
    fn the_token_is_the_variable_or_else_the_file() {
        let folder = tempfile::tempdir().unwrap();
        std::fs::write(folder.path().join("token"), "hf_file\n").unwrap();
        let home = folder.path().to_str().unwrap();
        assert_eq!(read(&[("HF_HOME", home)]).unwrap().token.as_deref(), Some("hf_file"));
        assert_eq!(
            read(&[("HF_HOME", home), ("HF_TOKEN", "hf_set")]).unwrap().token.as_deref(),
            Some("hf_set")
        );
    }
}

//! The proxy that the environment names for an address.
//!
//! `HTTPS_PROXY` is for https and `HTTP_PROXY` for http, `ALL_PROXY` for both, in capitals or not, as curl has it;
//! ureq's own reading takes the first that is set, for any address. Hosts of `NO_PROXY` are asked directly, and so are
//! the hosts below them.

use std::env;

use ureq::Proxy;
use ureq::http::Uri;

/// The proxy for requests to `address` and to where they are redirected.
pub(super) fn for_address(address: &Uri) -> Option<Proxy> {
    from_variables(address, |name| env::var(name).ok())
}

fn from_variables(address: &Uri, variable: impl Fn(&str) -> Option<String>) -> Option<Proxy> {
    let set = |name: &str| {
        let value = variable(name).or_else(|| variable(&name.to_lowercase()))?;
        Some(value.trim().to_owned()).filter(|value| !value.is_empty())
    };
    let own = if address.scheme_str() == Some("https") { "HTTPS_PROXY" } else { "HTTP_PROXY" };
    let named = Proxy::new(&set(own).or_else(|| set("ALL_PROXY"))?).ok()?;
    let mut proxy = Proxy::builder(named.protocol()).host(named.host()).port(named.port());
    if let Some(username) = named.username() {
        proxy = proxy.username(username);
    }
    if let Some(password) = named.password() {
        proxy = proxy.password(password);
    }
    for host in set("NO_PROXY").iter().flat_map(|list| list.split(',')).map(str::trim) {
        let bare = host.trim_start_matches("*.").trim_start_matches('.');
        if host == "*" {
            proxy = proxy.no_proxy(host);
        } else if !bare.is_empty() {
            proxy = proxy.no_proxy(bare).no_proxy(&format!(".{bare}"));
        }
    }
    proxy.build().ok()
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    fn proxy(address: &str, set: &[(&str, &str)]) -> Option<Proxy> {
        from_variables(&address.parse().unwrap(), |name| {
            set.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned())
        })
    }

    #[test]
    fn an_address_has_the_proxy_of_its_scheme() {
        let set = [("https_proxy", "http://secure:1"), ("HTTP_PROXY", "plain:2")];
        let host = |address| proxy(address, &set).unwrap().host().to_owned();
        assert_eq!(host("https://huggingface.co"), "secure");
        assert_eq!(host("http://mirror"), "plain");
        assert!(proxy("http://mirror", &set[..1]).is_none());
        let all = proxy("http://mirror", &[("ALL_PROXY", "socks5://me:secret@all:3")]).unwrap();
        assert_eq!((all.host(), all.port(), all.username()), ("all", 3, Some("me")));
    }

    #[test]
    fn hosts_of_no_proxy_and_those_below_them_are_asked_directly() {
        let set = [("HTTPS_PROXY", "http://proxy:1"), ("NO_PROXY", "localhost, .inner.org,other.org")];
        let direct = |address: &str| {
            proxy("https://huggingface.co", &set).unwrap().is_no_proxy(&address.parse().unwrap())
        };
        assert!(!direct("https://huggingface.co/a") && !direct("https://another.org"));
        for address in
            ["http://localhost:80", "https://hub.inner.org", "https://inner.org", "https://a.other.org"]
        {
            assert!(direct(address), "{address}");
        }
    }
}

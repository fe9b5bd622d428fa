//! Which strong views a set of images has, as settings and descriptions of data sets name it (method §3).

use std::fmt;

use serde::de::{self, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

/// What a strong view has beside a weak one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "kebab-case")]
pub enum StrongViews {
    /// Nothing: it is a weak view.
    None,
    /// One of 14 operations, then a cutout. They are defined on three channels alone.
    Operations,
    /// A black square of 16 × 16 pixels.
    Cutout,
}

const NAMES: &[&str] = &["none", "operations", "cutout"];

impl StrongViews {
    /// Its name in settings.
    pub fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Operations => "operations",
            Self::Cutout => "cutout",
        }
    }
}

/// By hand, so that a value of another type is answered with the names, too: the setting was once a yes or no.
impl<'de> Deserialize<'de> for StrongViews {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_str(ByName)
    }
}

struct ByName;

impl Visitor<'_> for ByName {
    type Value = StrongViews;

    fn expecting(&self, formatter: &mut fmt::Formatter<'_>) -> fmt::Result {
        formatter.write_str("`none`, `operations` or `cutout`")
    }

    fn visit_str<E: de::Error>(self, name: &str) -> Result<StrongViews, E> {
        let all = [StrongViews::None, StrongViews::Operations, StrongViews::Cutout];
        let found = all.into_iter().find(|strong| strong.name() == name);
        found.ok_or_else(|| E::unknown_variant(name, NAMES))
    }
}

#[cfg(test)]
mod tests {
    #![allow(clippy::unwrap_used)]
    use super::*;

    #[test]
    fn names_go_out_and_come_back() {
        for (strong, name) in [
            (StrongViews::None, "none"),
            (StrongViews::Operations, "operations"),
            (StrongViews::Cutout, "cutout"),
        ] {
            assert_eq!(strong.name(), name);
            let written = serde_json::to_string(&strong).unwrap();
            assert_eq!(written, format!("\"{name}\""));
            assert_eq!(serde_json::from_str::<StrongViews>(&written).unwrap(), strong);
        }
    }

    #[test]
    fn what_is_no_name_is_answered_with_the_names() {
        for value in ["true", "\"strong\"", "1"] {
            let error = serde_json::from_str::<StrongViews>(value).unwrap_err().to_string();
            assert!(NAMES.iter().all(|name| error.contains(name)), "{error}");
        }
    }
}

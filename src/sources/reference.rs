//! `module_source`, taken apart.

/// Where a module's code is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Source {
    /// In the module itself.
    Inline,
    /// In the runner's image.
    Image,
    /// Uploaded; its digest.
    Directory(String),
    /// In a git repository.
    Git(GitSource),
    /// Something that the engine itself knows how to fetch.
    Registry,
}

/// A git repository, a directory in it, a revision.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct GitSource {
    /// `https://…` or `ssh://…`.
    pub(crate) url: String,
    /// Below the root; empty for the root.
    pub(crate) directory: String,
    /// Branch, tag or commit; absent: what the repository calls its head.
    pub(crate) revision: Option<String>,
}

impl Source {
    /// Reads a source; `None` for one that can never be fetched safely (another transport, an option as revision).
    pub(crate) fn parse(text: &str) -> Option<Self> {
        if text == "inline" {
            return Some(Self::Inline);
        }
        if text.starts_with('/') {
            return Some(Self::Image);
        }
        if let Some(digest) = text.strip_prefix("dir::") {
            return Some(Self::Directory(digest.to_owned()));
        }
        match text.strip_prefix("git::") {
            Some(rest) => GitSource::parse(rest).map(Self::Git),
            None => Some(Self::Registry),
        }
    }
}

impl GitSource {
    fn parse(text: &str) -> Option<Self> {
        let (text, query) = text.split_once('?').unwrap_or((text, ""));
        let (scheme, rest) = text.split_once("://")?;
        if !["https", "ssh"].contains(&scheme) || rest.starts_with(['-', '/']) || rest.is_empty() {
            return None;
        }
        let (repository, directory) = rest.split_once("//").unwrap_or((rest, ""));
        let directory = directory.trim_matches('/');
        if directory.split('/').any(|part| part == ".." || part == ".") || directory.contains(':') {
            return None;
        }
        let mut revision = None;
        for (key, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match key {
                "ref" if !value.is_empty() && !value.starts_with('-') => {
                    revision = Some(value.to_owned());
                }
                // How much history to fetch is ours to say.
                "depth" => {}
                _ => return None,
            }
        }
        Some(Self {
            url: format!("{scheme}://{repository}"),
            directory: directory.to_owned(),
            revision,
        })
    }

    /// The address without what may be a password in it.
    pub(crate) fn shown(&self) -> String {
        let Some((scheme, rest)) = self.url.split_once("://") else {
            return self.url.clone();
        };
        match rest.split_once('@') {
            Some((user, host)) if user.contains(':') || scheme == "https" => {
                format!("{scheme}://{host}")
            }
            _ => self.url.clone(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sources_are_taken_apart() {
        assert_eq!(Source::parse("inline"), Some(Source::Inline));
        assert_eq!(Source::parse("/modules/x"), Some(Source::Image));
        assert_eq!(Source::parse("acme/x/aws@1.0"), Some(Source::Registry));
        assert_eq!(
            Source::parse("git::https://example.com/o/r.git//sub/dir?ref=v1"),
            Some(Source::Git(GitSource {
                url: "https://example.com/o/r.git".into(),
                directory: "sub/dir".into(),
                revision: Some("v1".into()),
            }))
        );
        assert_eq!(
            Source::parse("git::ssh://git@example.com/o/r"),
            Some(Source::Git(GitSource {
                url: "ssh://git@example.com/o/r".into(),
                directory: String::new(),
                revision: None,
            }))
        );
    }

    #[test]
    fn what_git_could_take_for_an_option_or_another_transport_is_refused() {
        for text in [
            "git::http://example.com/x",
            "git::file:///etc",
            "git::ext::sh",
            "git::ssh://-oProxyCommand=x/y",
            "git::https://example.com/x?ref=--upload-pack=x",
            "git::https://example.com/x//../y",
            "git::https://example.com/x?sshkey=abc",
        ] {
            assert_eq!(Source::parse(text), None, "{text}");
        }
    }

    #[test]
    fn credentials_are_not_shown() {
        let Some(Source::Git(git)) = Source::parse("git::https://me:token@example.com/o/r") else {
            panic!("a git source");
        };
        assert_eq!(git.shown(), "https://example.com/o/r");
    }
}

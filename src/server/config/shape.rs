//! What identifiers and tokens look like (contracts: token formats are hints, never promises, so they only warn).

/// How a text should look.
#[derive(Clone, Copy, Debug)]
pub struct Shape {
    /// In words.
    pub looks_like: &'static str,
    /// Whether a text does.
    pub fits: fn(&str) -> bool,
}

/// Anything.
pub const ANY: Shape = Shape { looks_like: "text", fits: |_| true };
/// A Notion key: `ntn_` + 11 digits + 35 alphanumerics, or the older `secret_` + 43.
pub const NOTION_KEY: Shape = Shape {
    looks_like: "`ntn_` and 46 characters, or `secret_` and 43",
    fits: |s| {
        let new = s
            .strip_prefix("ntn_")
            .is_some_and(|r| r.len() == 46 && alphanumeric(r) && r.bytes().take(11).all(|b| b.is_ascii_digit()));
        new || s.strip_prefix("secret_").is_some_and(|r| r.len() == 43 && alphanumeric(r))
    },
};
/// A Trello key.
pub const TRELLO_KEY: Shape = Shape { looks_like: "32 hex digits", fits: |s| s.len() == 32 && hex(s) };
/// A Trello token: `ATTA` + 72 alphanumerics, or the older 64 hex digits.
pub const TRELLO_TOKEN: Shape = Shape {
    looks_like: "`ATTA` and 72 characters, or 64 hex digits",
    fits: |s| s.strip_prefix("ATTA").is_some_and(|r| r.len() == 72 && alphanumeric(r)) || (s.len() == 64 && hex(s)),
};
/// A Slack bot token: `xoxb-`, or the rotating `xoxe.xoxb-`.
pub const SLACK_BOT: Shape = Shape {
    looks_like: "`xoxb-` and two groups of 10 to 13 digits, or `xoxe.xoxb-`",
    fits: |s| {
        let bot = s.strip_prefix("xoxb-").is_some_and(|r| {
            let mut parts = r.splitn(2, '-');
            let (Some(team), Some(rest)) = (parts.next(), parts.next()) else { return false };
            let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
            team.bytes().all(|b| b.is_ascii_digit())
                && (10..=13).contains(&team.len())
                && digits >= 10
                && rest.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-')
        });
        let rotating = s.strip_prefix("xoxe.xoxb-").or_else(|| s.strip_prefix("xoxe.xoxp-"));
        bot || rotating.is_some_and(|r| r.len() > 2)
    },
};
/// A service account's key: a path, or the JSON itself.
pub const GOOGLE_KEY: Shape = Shape {
    looks_like: "the path of a key file, or its JSON",
    fits: |s| s.starts_with('{') || s.contains('/') || s.ends_with(".json"),
};
/// A PEM private key.
pub const PEM: Shape = Shape { looks_like: "a PEM private key", fits: |s| s.contains("PRIVATE KEY-----") };
/// A Google client id.
pub const GOOGLE_CLIENT: Shape = Shape {
    looks_like: "an id that ends in .apps.googleusercontent.com",
    fits: |s| s.ends_with(".apps.googleusercontent.com"),
};
/// An e-mail address.
pub const EMAIL: Shape = Shape { looks_like: "an e-mail address", fits: |s| s.contains('@') };
/// A Slack app-level token.
pub const SLACK_APP: Shape = Shape { looks_like: "`xapp-` and its parts", fits: |s| s.starts_with("xapp-") };
/// A Slack user.
pub const SLACK_USER: Shape = Shape {
    looks_like: "a user id such as U0123456789",
    fits: |s| s.starts_with(['U', 'W']) && s.len() > 7 && alphanumeric(s),
};
/// What Slack signs its requests with.
pub const HEX_32: Shape = Shape { looks_like: "32 hex digits", fits: |s| s.len() == 32 && hex(s) };
/// A Google API key.
pub const GOOGLE_API_KEY: Shape = Shape { looks_like: "`AIza` and 35 characters", fits: |s| s.starts_with("AIza") };
/// A key of Groq.
pub const GROQ_KEY: Shape = Shape { looks_like: "`gsk_` and letters", fits: |s| s.starts_with("gsk_") };
/// A key of OpenAI.
pub const OPENAI_KEY: Shape = Shape { looks_like: "`sk-` and letters", fits: |s| s.starts_with("sk-") };
/// An address.
pub const URL: Shape = Shape {
    looks_like: "an address that starts with http:// or https://",
    fits: |s| s.starts_with("https://") || s.starts_with("http://"),
};
/// A TCP port.
pub const PORT: Shape = Shape { looks_like: "a port from 1 to 65535", fits: |s| s.parse::<u16>().is_ok_and(|p| p > 0) };
/// A count.
pub const COUNT: Shape = Shape { looks_like: "a whole number", fits: |s| s.parse::<u64>().is_ok() };
/// A flag.
pub const FLAG: Shape = Shape { looks_like: "true or false", fits: |s| super::value::flag(s).is_some() };
/// A path.
pub const PATH: Shape = Shape { looks_like: "a path", fits: |s| s.contains('/') || s.ends_with(".json") };
/// A Notion id.
pub const NOTION_ID: Shape = Shape {
    looks_like: "32 hex digits, dashes optional",
    fits: |s| {
        let plain = s.replace('-', "");
        plain.len() == 32 && hex(&plain)
    },
};
/// A Trello id.
pub const TRELLO_ID: Shape = Shape { looks_like: "24 hex digits", fits: |s| s.len() == 24 && hex(s) };
/// A Slack channel.
pub const SLACK_CHANNEL: Shape = Shape {
    looks_like: "`#name` or a channel id such as C0123456789",
    fits: |s| s.len() > 1 && (s.starts_with('#') || s.starts_with(['C', 'G', 'D'])),
};
/// A Google file id.
pub const GOOGLE_ID: Shape = Shape {
    looks_like: "a Google file id (letters, digits, `-`, `_`)",
    fits: |s| s.bytes().all(|b| b.is_ascii_alphanumeric() || b == b'-' || b == b'_'),
};

fn hex(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_hexdigit())
}

fn alphanumeric(s: &str) -> bool {
    s.bytes().all(|b| b.is_ascii_alphanumeric())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn real_shapes_fit_and_others_do_not() {
        let cases: [(Shape, String, bool); 12] = [
            (NOTION_KEY, format!("ntn_{}{}", "1".repeat(11), "a".repeat(35)), true),
            (NOTION_KEY, format!("secret_{}", "b".repeat(43)), true),
            (NOTION_KEY, format!("ntn_{}", "a".repeat(46)), false),
            (NOTION_KEY, "secret_new_key_here".into(), false),
            (TRELLO_KEY, "0123456789abcdef0123456789abcdef".into(), true),
            (TRELLO_TOKEN, format!("ATTA{}", "z".repeat(72)), true),
            (TRELLO_TOKEN, "z".repeat(64), false),
            (SLACK_BOT, "xoxb-1234567890-1234567890123-abcDEF".into(), true),
            (SLACK_BOT, "xoxb-new-token".into(), false),
            (NOTION_ID, "01234567-89ab-cdef-0123-456789abcdef".into(), true),
            (TRELLO_ID, "5f0000000000000000000001".into(), true),
            (SLACK_CHANNEL, "general".into(), false),
        ];
        for (shape, text, fits) in cases {
            assert_eq!((shape.fits)(&text), fits, "{text}");
        }
    }
}

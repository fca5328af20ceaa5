//! The search language of `files.list`: `name = 'x' and 'FOLDER' in parents and trashed = false`.

use super::Drive;
use crate::wire::Time;

/// A parsed `q`.
#[derive(Debug, PartialEq)]
pub(super) enum Query {
    All(Vec<Query>),
    Any(Vec<Query>),
    Not(Box<Query>),
    /// Field, operator, value.
    Compare(String, String, String),
    /// Value, collection.
    In(String, String),
    /// An application property.
    Has(String, String),
}

#[derive(Debug, Clone, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Sign(String),
}

fn tokens(text: &str) -> Option<Vec<Token>> {
    let mut out = Vec::new();
    let mut chars = text.chars().peekable();
    while let Some(&c) = chars.peek() {
        match c {
            c if c.is_whitespace() => _ = chars.next(),
            '\'' => {
                chars.next();
                let mut value = String::new();
                loop {
                    match chars.next()? {
                        '\'' => break,
                        '\\' => value.push(chars.next()?),
                        other => value.push(other),
                    }
                }
                out.push(Token::Text(value));
            }
            '(' | ')' | '{' | '}' => {
                chars.next();
                out.push(Token::Sign(c.into()));
            }
            '=' | '!' | '<' | '>' => {
                let mut sign = String::new();
                while let Some(c) = chars.next_if(|c| "=!<>".contains(*c)) {
                    sign.push(c);
                }
                out.push(Token::Sign(sign));
            }
            c if c.is_alphanumeric() => {
                let mut word = String::new();
                while let Some(c) = chars.next_if(|c| c.is_alphanumeric()) {
                    word.push(c);
                }
                out.push(Token::Word(word));
            }
            _ => return None,
        }
    }
    Some(out)
}

struct Parser {
    tokens: std::vec::IntoIter<Token>,
}

impl Parser {
    fn next_if(&mut self, wanted: &Token) -> bool {
        let found = self.tokens.as_slice().first() == Some(wanted);
        if found {
            self.tokens.next();
        }
        found
    }

    fn word(&mut self, word: &str) -> bool {
        self.next_if(&Token::Word(word.into()))
    }

    fn sign(&mut self, sign: &str) -> bool {
        self.next_if(&Token::Sign(sign.into()))
    }

    fn text(&mut self) -> Option<String> {
        match self.tokens.next()? {
            Token::Text(text) => Some(text),
            _ => None,
        }
    }

    fn any(&mut self) -> Option<Query> {
        let mut parts = vec![self.all()?];
        while self.word("or") {
            parts.push(self.all()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Query::Any(parts) })
    }

    fn all(&mut self) -> Option<Query> {
        let mut parts = vec![self.term()?];
        while self.word("and") {
            parts.push(self.term()?);
        }
        Some(if parts.len() == 1 { parts.remove(0) } else { Query::All(parts) })
    }

    fn term(&mut self) -> Option<Query> {
        if self.word("not") {
            return Some(Query::Not(Box::new(self.term()?)));
        }
        if self.sign("(") {
            let inner = self.any()?;
            return self.sign(")").then_some(inner);
        }
        match self.tokens.next()? {
            Token::Text(value) => {
                let known = ["parents", "owners", "writers", "readers"];
                match (self.word("in"), self.tokens.next()?) {
                    (true, Token::Word(of)) if known.contains(&of.as_str()) => Some(Query::In(value, of)),
                    _ => None,
                }
            }
            Token::Word(field) if field == "appProperties" || field == "properties" => {
                let opened = self.word("has") && self.sign("{") && self.word("key") && self.sign("=");
                let key = self.text().filter(|_| opened)?;
                let between = self.word("and") && self.word("value") && self.sign("=");
                let value = self.text().filter(|_| between)?;
                self.sign("}").then_some(Query::Has(key, value))
            }
            Token::Word(field) => {
                let operator = match self.tokens.next()? {
                    Token::Sign(sign) => sign,
                    Token::Word(word) if word == "contains" => word,
                    _ => return None,
                };
                let value = match self.tokens.next()? {
                    Token::Text(text) | Token::Word(text) => text,
                    Token::Sign(_) => return None,
                };
                let operators: &[&str] = match field.as_str() {
                    "name" | "mimeType" => &["=", "!=", "contains"],
                    "fullText" => &["contains"],
                    "trashed" | "starred" => &["=", "!="],
                    "createdTime" | "modifiedTime" => &["<", "<=", "=", "!=", ">", ">="],
                    _ => return None,
                };
                operators.contains(&operator.as_str()).then_some(Query::Compare(field, operator, value))
            }
            Token::Sign(_) => None,
        }
    }
}

impl Query {
    /// `None` when it cannot be understood. An empty text fits everything.
    pub(super) fn parse(text: &str) -> Option<Self> {
        let tokens = tokens(text)?;
        if tokens.is_empty() {
            return Some(Query::All(Vec::new()));
        }
        let mut parser = Parser { tokens: tokens.into_iter() };
        let query = parser.any()?;
        parser.tokens.as_slice().is_empty().then_some(query)
    }

    /// Whether a file is wanted.
    pub(super) fn fits(&self, drive: &Drive, id: &str) -> bool {
        let file = &drive.files[id];
        match self {
            Query::All(parts) => parts.iter().all(|part| part.fits(drive, id)),
            Query::Any(parts) => parts.iter().any(|part| part.fits(drive, id)),
            Query::Not(inner) => !inner.fits(drive, id),
            Query::In(value, of) if of == "parents" => {
                file.parent == *value || (value == "root" && file.parent == drive.my_drive)
            }
            Query::In(value, of) => {
                let owner = of == "owners";
                let who = file.permissions.iter().filter(|p| !owner || p["role"] == "owner");
                value == "me" || who.into_iter().any(|p| p["emailAddress"] == value.as_str())
            }
            Query::Has(key, value) => file.app_properties.get(key) == Some(value),
            Query::Compare(field, operator, value) => match field.as_str() {
                "name" | "fullText" => compare_text(&file.name, operator, value),
                "mimeType" => compare_text(&file.mime_type, operator, value),
                "trashed" => (drive.is_trashed(id) == (value == "true")) == (operator == "="),
                "starred" => (value == "false") == (operator == "="),
                _ => {
                    let time = if field == "createdTime" { file.created } else { file.modified };
                    compare_time(time, operator, value)
                }
            },
        }
    }
}

fn compare_text(text: &str, operator: &str, value: &str) -> bool {
    match operator {
        "=" => text.eq_ignore_ascii_case(value),
        "!=" => !text.eq_ignore_ascii_case(value),
        _ => text.to_lowercase().contains(&value.to_lowercase()),
    }
}

fn compare_time(time: Time, operator: &str, value: &str) -> bool {
    let zoned = if value.ends_with('Z') || value.contains('+') { value.to_owned() } else { format!("{value}Z") };
    let Ok(wanted) = zoned.parse::<Time>() else { return false };
    match operator {
        "<" => time < wanted,
        "<=" => time <= wanted,
        ">" => time > wanted,
        ">=" => time >= wanted,
        "=" => time == wanted,
        _ => time != wanted,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_it_means() {
        let compare = |f: &str, o: &str, v: &str| Query::Compare(f.into(), o.into(), v.into());
        assert_eq!(
            Query::parse(r"trashed = false and 'F' in parents and (name = 'it\'s' or not mimeType contains 'x')"),
            Some(Query::All(vec![
                compare("trashed", "=", "false"),
                Query::In("F".into(), "parents".into()),
                Query::Any(vec![
                    compare("name", "=", "it's"),
                    Query::Not(Box::new(compare("mimeType", "contains", "x"))),
                ]),
            ]))
        );
        assert_eq!(
            Query::parse("appProperties has { key='opsctl' and value='k' }"),
            Some(Query::Has("opsctl".into(), "k".into()))
        );
        for bad in
            ["name", "name = ", "name like 'x'", "'x' in nowhere", "(trashed = true", "colour = 'x'", "name = 'x"]
        {
            assert_eq!(Query::parse(bad), None, "{bad}");
        }
    }
}

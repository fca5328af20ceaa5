//! One line of JSON walked once: its top-level keys and values as they stand in the line, nothing built, everything
//! checked. A line that this accepts, a JSON parser accepts too.

use std::borrow::Cow;

/// Deepest nesting that is read, as in `serde_json`.
const DEPTH: usize = 127;

/// The inside of a string as it stands in the line, escapes included.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Text<'a> {
    /// Between the quotes.
    pub raw: &'a [u8],
    /// Whether it has escapes.
    pub escaped: bool,
}

impl<'a> Text<'a> {
    /// What it says.
    pub fn decode(self) -> Cow<'a, str> {
        if self.escaped { Cow::Owned(unescape(self.raw)) } else { String::from_utf8_lossy(self.raw) }
    }

    /// Whether it says this.
    #[inline]
    pub fn is(self, text: &str) -> bool {
        // Most texts differ in length or at once; a call to compare them costs more than looking.
        if self.raw.first() != text.as_bytes().first() && !self.escaped {
            return false;
        }
        if self.escaped {
            self.raw.len() > text.len() && unescape(self.raw) == text
        } else {
            self.raw == text.as_bytes()
        }
    }
}

/// A value as it stands in the line.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Value<'a> {
    /// A string.
    Text(Text<'a>),
    /// A number.
    Number(&'a [u8]),
    /// `true` or `false`.
    Bool(bool),
    /// `null`.
    Null,
    /// An object, with its braces.
    Object(&'a [u8]),
    /// An array, with its brackets.
    Array(&'a [u8]),
}

impl<'a> Value<'a> {
    /// How it reads: a string's text, everything else as it stands.
    pub fn plain(self) -> Cow<'a, str> {
        match self {
            Value::Text(text) => text.decode(),
            Value::Number(raw) | Value::Object(raw) | Value::Array(raw) => String::from_utf8_lossy(raw),
            Value::Bool(true) => "true".into(),
            Value::Bool(false) => "false".into(),
            Value::Null => "null".into(),
        }
    }
}

/// The line is not one JSON object.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Malformed;

/// Walks an object and hands over each of its own keys and values, in their order; a repeated key is handed over again.
#[inline]
pub fn walk<'a>(object: &'a [u8], mut each: impl FnMut(Text<'a>, Value<'a>)) -> Result<(), Malformed> {
    let mut cursor = Cursor { bytes: object, at: 0, high: 0 };
    cursor.space();
    cursor.expect(b'{')?;
    cursor.space();
    if !cursor.take(b'}') {
        loop {
            cursor.expect(b'"')?;
            let key = cursor.text()?;
            cursor.colon()?;
            let value = cursor.value()?;
            each(key, value);
            if !cursor.more(b'}')? {
                break;
            }
        }
    }
    cursor.space();
    if cursor.at != object.len() {
        return Err(Malformed);
    }
    // Once for the line, and only if there is something to look at.
    if cursor.high & HIGH != 0 && std::str::from_utf8(object).is_err() {
        return Err(Malformed);
    }
    Ok(())
}

/// The value at a path of keys, of the last one where a key is repeated.
pub fn find<'a>(object: &'a [u8], path: &[String]) -> Option<Value<'a>> {
    let (first, rest) = path.split_first()?;
    let mut found = None;
    walk(object, |key, value| {
        if key.is(first) {
            found = Some(value);
        }
    })
    .ok()?;
    match (found?, rest) {
        (value, []) => Some(value),
        (Value::Object(inner), rest) => find(inner, rest),
        _ => None,
    }
}

const LOW: u64 = 0x0101_0101_0101_0101;
const HIGH: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of a word that end a run of plain text: a quote, a backslash, a control character. The first mark is
/// exact; those above it may be wrong, since a subtraction borrows.
fn ends_run(word: u64) -> u64 {
    let zero = |v: u64| v.wrapping_sub(LOW) & !v;
    let quote = zero(word ^ (LOW * 0x22));
    let backslash = zero(word ^ (LOW * 0x5c));
    let control = word.wrapping_sub(LOW * 0x20) & !word;
    (quote | backslash | control) & HIGH
}

struct Cursor<'a> {
    bytes: &'a [u8],
    at: usize,
    /// The bytes of strings, or-ed in groups of eight: a top bit says that one was not ASCII.
    high: u64,
}

impl<'a> Cursor<'a> {
    fn peek(&self) -> Option<u8> {
        self.bytes.get(self.at).copied()
    }

    #[inline]
    fn space(&mut self) {
        while let Some(b' ' | b'\t' | b'\n' | b'\r') = self.peek() {
            self.at += 1;
        }
    }

    fn take(&mut self, byte: u8) -> bool {
        let is = self.peek() == Some(byte);
        self.at += usize::from(is);
        is
    }

    #[inline]
    fn expect(&mut self, byte: u8) -> Result<(), Malformed> {
        if self.take(byte) { Ok(()) } else { Err(Malformed) }
    }

    fn colon(&mut self) -> Result<(), Malformed> {
        self.space();
        self.expect(b':')?;
        self.space();
        Ok(())
    }

    /// After an element: whether another follows, or the end has been passed.
    fn more(&mut self, end: u8) -> Result<bool, Malformed> {
        self.space();
        let more = self.take(b',');
        if more {
            self.space();
        } else {
            self.expect(end)?;
        }
        Ok(more)
    }

    /// The rest of a string whose opening quote has been passed.
    #[inline]
    fn text(&mut self) -> Result<Text<'a>, Malformed> {
        let (start, mut at, mut high, mut escaped) = (self.at, self.at, 0, false);
        loop {
            // Eight bytes at a time as far as there are eight, then one by one.
            while let Some(chunk) = self.bytes.get(at..).and_then(<[u8]>::first_chunk::<8>) {
                let word = u64::from_le_bytes(*chunk);
                // What lies behind the end of the run counts too: at worst the line is looked at once more.
                high |= word;
                let marks = ends_run(word);
                if marks != 0 {
                    at += (marks.trailing_zeros() / 8) as usize;
                    break;
                }
                at += 8;
            }
            match self.bytes.get(at).copied().ok_or(Malformed)? {
                b'"' => {
                    self.high |= high;
                    self.at = at + 1;
                    return Ok(Text { raw: &self.bytes[start..at], escaped });
                }
                b'\\' => {
                    escaped = true;
                    self.at = at;
                    self.escape()?;
                    at = self.at;
                }
                0..=0x1f => return Err(Malformed),
                other => {
                    high |= u64::from(other);
                    at += 1;
                }
            }
        }
    }

    /// Passes an escape. Half of a surrogate pair is not text.
    fn escape(&mut self) -> Result<(), Malformed> {
        self.at += 1;
        let kind = self.peek().ok_or(Malformed)?;
        self.at += 1;
        match kind {
            b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't' => Ok(()),
            b'u' => match self.hex()? {
                0xdc00..=0xdfff => Err(Malformed),
                0xd800..=0xdbff => {
                    self.expect(b'\\')?;
                    self.expect(b'u')?;
                    if (0xdc00..=0xdfff).contains(&self.hex()?) { Ok(()) } else { Err(Malformed) }
                }
                _ => Ok(()),
            },
            _ => Err(Malformed),
        }
    }

    fn hex(&mut self) -> Result<u32, Malformed> {
        let digits = self.bytes.get(self.at..self.at + 4).ok_or(Malformed)?;
        self.at += 4;
        hex(digits).ok_or(Malformed)
    }

    #[inline]
    fn value(&mut self) -> Result<Value<'a>, Malformed> {
        match self.peek().ok_or(Malformed)? {
            b'"' => {
                self.at += 1;
                Ok(Value::Text(self.text()?))
            }
            b'{' => Ok(Value::Object(self.nested()?)),
            b'[' => Ok(Value::Array(self.nested()?)),
            b't' => self.word(b"true", Value::Bool(true)),
            b'f' => self.word(b"false", Value::Bool(false)),
            b'n' => self.word(b"null", Value::Null),
            _ => self.number(),
        }
    }

    fn word(&mut self, word: &[u8], value: Value<'a>) -> Result<Value<'a>, Malformed> {
        if !self.bytes[self.at..].starts_with(word) {
            return Err(Malformed);
        }
        self.at += word.len();
        Ok(value)
    }

    #[inline]
    fn number(&mut self) -> Result<Value<'a>, Malformed> {
        let start = self.at;
        self.take(b'-');
        match self.peek() {
            Some(b'0') => self.at += 1,
            Some(b'1'..=b'9') => self.digits()?,
            _ => return Err(Malformed),
        }
        if self.take(b'.') {
            self.digits()?;
        }
        if self.take(b'e') || self.take(b'E') {
            if !self.take(b'+') {
                self.take(b'-');
            }
            self.digits()?;
        }
        Ok(Value::Number(&self.bytes[start..self.at]))
    }

    fn digits(&mut self) -> Result<(), Malformed> {
        let start = self.at;
        while self.peek().is_some_and(|b| b.is_ascii_digit()) {
            self.at += 1;
        }
        if self.at > start { Ok(()) } else { Err(Malformed) }
    }

    /// Passes an object or an array, however deep, without recursion.
    fn nested(&mut self) -> Result<&'a [u8], Malformed> {
        let start = self.at;
        // One bit a level: whether it is an object.
        let (mut levels, mut depth) = (0_u128, 0);
        loop {
            // A value is due.
            match self.peek().ok_or(Malformed)? {
                open @ (b'{' | b'[') => {
                    if depth == DEPTH {
                        return Err(Malformed);
                    }
                    self.at += 1;
                    levels = levels << 1 | u128::from(open == b'{');
                    depth += 1;
                    self.space();
                    if !self.take(closing(levels)) {
                        self.key_if_object(levels)?;
                        continue;
                    }
                    levels >>= 1;
                    depth -= 1;
                }
                _ => _ = self.value()?,
            }
            // A value has ended: the next one, or the end of one or more levels.
            loop {
                if depth == 0 {
                    return Ok(&self.bytes[start..self.at]);
                }
                if self.more(closing(levels))? {
                    self.key_if_object(levels)?;
                    break;
                }
                levels >>= 1;
                depth -= 1;
            }
        }
    }

    fn key_if_object(&mut self, levels: u128) -> Result<(), Malformed> {
        if levels & 1 == 1 {
            self.expect(b'"')?;
            self.text()?;
            self.colon()?;
        }
        Ok(())
    }
}

const fn closing(levels: u128) -> u8 {
    if levels & 1 == 1 { b'}' } else { b']' }
}

fn hex(digits: &[u8]) -> Option<u32> {
    digits.iter().try_fold(0, |sum, digit| Some(sum << 4 | char::from(*digit).to_digit(16)?))
}

/// Reads the escapes of a string that has been walked.
fn unescape(raw: &[u8]) -> String {
    let mut out = Vec::with_capacity(raw.len());
    let mut rest = raw;
    while let Some(at) = rest.iter().position(|b| *b == b'\\') {
        out.extend_from_slice(&rest[..at]);
        let kind = rest.get(at + 1).copied().unwrap_or_default();
        rest = rest.get(at + 2..).unwrap_or_default();
        match kind {
            b'b' => out.push(8),
            b'f' => out.push(12),
            b'n' => out.push(b'\n'),
            b'r' => out.push(b'\r'),
            b't' => out.push(b'\t'),
            b'u' => {
                let mut unit = rest.get(..4).and_then(hex).unwrap_or_default();
                rest = rest.get(4..).unwrap_or_default();
                if (0xd800..=0xdbff).contains(&unit) {
                    let low = rest.get(2..6).and_then(hex).unwrap_or_default();
                    rest = rest.get(6..).unwrap_or_default();
                    unit = 0x10000 + ((unit - 0xd800) << 10) + low.wrapping_sub(0xdc00);
                }
                let letter = char::from_u32(unit).unwrap_or(char::REPLACEMENT_CHARACTER);
                out.extend_from_slice(letter.encode_utf8(&mut [0; 4]).as_bytes());
            }
            other => out.push(other),
        }
    }
    out.extend_from_slice(rest);
    String::from_utf8_lossy(&out).into_owned()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn pairs(line: &str) -> Result<Vec<(String, String)>, Malformed> {
        let mut found = Vec::new();
        walk(line.as_bytes(), |key, value| found.push((key.decode().into_owned(), value.plain().into_owned())))?;
        Ok(found)
    }

    #[test]
    fn keys_and_values_come_as_they_read() {
        let line = r#" {"a":"x\ty","b" : -1.5e+3 ,"c":{"d":[1,{"e":"}"}],"f":{}},"\u0067":null,"h":true,"i":[],"i":"\ud83d\udd34é"}"#;
        let expected = [
            ("a", "x\ty"),
            ("b", "-1.5e+3"),
            ("c", r#"{"d":[1,{"e":"}"}],"f":{}}"#),
            ("g", "null"),
            ("h", "true"),
            ("i", "[]"),
            ("i", "🔴é"),
        ];
        assert_eq!(pairs(line).unwrap(), expected.map(|(k, v)| (k.to_owned(), v.to_owned())));
        assert_eq!(find(line.as_bytes(), &["c".into(), "d".into()]).unwrap().plain(), r#"[1,{"e":"}"}]"#);
        assert_eq!(find(line.as_bytes(), &["i".into()]).unwrap().plain(), "🔴é");
        assert_eq!(find(line.as_bytes(), &["a".into(), "d".into()]), None);
    }

    /// Texts that are near to JSON, mutated: this walk and a real parser agree on what is an object.
    #[test]
    fn accepts_what_a_parser_accepts() {
        let seeds = [
            r#"{"action":"create","error":{},"level":"error","n":-0.5e-7,"t":"2025-10-17T10:30:45.123Z"}"#,
            r#"{"a":[[],[{}],{"b":[1,2,{"c":"\u00e9\ud83d\udd34"}]}],"x":true,"y":false,"z":null}"#,
            "{\"long\":\"aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaé\\\"bbbbbbbbbbb\\\\\",\"k\" : 10 }\r",
        ];
        let mut random = fastrand::Rng::with_seed(7);
        let alphabet = b"{}[]\":,\\u0123456789abcdefnrtE+-. \t\n\x00\x1f\x80\xc3\xa9\xff";
        let (mut accepted, mut refused) = (0, 0);
        for round in 0..200_000 {
            let mut line = seeds[round % seeds.len()].as_bytes().to_vec();
            for _ in 0..random.usize(0..3) {
                let at = random.usize(0..line.len());
                match random.u8(0..3) {
                    0 => line[at] = alphabet[random.usize(0..alphabet.len())],
                    1 => line.insert(at, alphabet[random.usize(0..alphabet.len())]),
                    _ => _ = line.remove(at),
                }
            }
            let theirs = serde_json::from_slice::<serde_json::Value>(&line).is_ok_and(|v| v.is_object());
            let mut keys = 0;
            let ours = walk(&line, |_, _| keys += 1).is_ok();
            // A number too large for a double is a number all the same.
            let overflow = !theirs && ours && line.iter().any(|b| matches!(b, b'e' | b'E'));
            assert!(ours == theirs || overflow, "{}", String::from_utf8_lossy(&line));
            if ours { accepted += 1 } else { refused += 1 }
        }
        assert!(accepted > 20_000 && refused > 20_000, "{accepted} {refused}");
    }
}

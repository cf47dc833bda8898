//! Listings in pages, with names of one folder rolled into one line where a delimiter says so.

use std::sync::Arc;

use s3s::dto::{CommonPrefix, ETag, EncodingType, Object, Timestamp};
use s3s::{S3Result, s3_error};

use crate::backend::{LIST_NAMES_MAX, NAME_BYTES_MAX, Objects, StoreError};
use crate::object::Stat;
use crate::plain;

/// What a listing asks for.
pub(super) struct Ask {
    pub(super) prefix: String,
    /// Names up to this one have been told.
    pub(super) after: String,
    pub(super) delimiter: String,
    pub(super) max: usize,
}

/// One line of a listing.
pub(super) enum Line {
    Name(Arc<str>, Stat),
    /// All names that begin like this.
    Common(String),
}

/// What a listing answers.
#[derive(Default)]
pub(super) struct Page {
    pub(super) lines: Vec<Line>,
    /// Whether more comes after it.
    pub(super) truncated: bool,
}

impl Ask {
    /// What names like this one are rolled into.
    fn common<'a>(&self, name: &'a str) -> Option<&'a str> {
        let rest = name.get(self.prefix.len()..).filter(|_| !self.delimiter.is_empty())?;
        let at = rest.find(&self.delimiter)?;
        name.get(..self.prefix.len() + at + self.delimiter.len())
    }

    /// Goes on after a name or a common prefix that has been told.
    pub(super) fn go_on_after(&mut self, told: &str) {
        self.after = if self.common(told) == Some(told) { past(told) } else { told.to_owned() };
    }
}

/// A text at least as great as all names that begin like this, so that a listing after it jumps over them.
fn past(prefix: &str) -> String {
    prefix.to_owned() + &char::MAX.to_string().repeat(NAME_BYTES_MAX / char::MAX.len_utf8())
}

/// One page. An object that is removed while it is made is left out.
pub(super) fn page(objects: &dyn Objects, ask: &Ask) -> Result<Page, StoreError> {
    let (mut page, mut after) = (Page::default(), ask.after.clone());
    if ask.max == 0 {
        return Ok(page);
    }
    loop {
        // One more than there is room for, to know whether there is more.
        let limit = (ask.max - page.lines.len() + 1).min(LIST_NAMES_MAX);
        let names = objects.list(&ask.prefix, &after, limit)?;
        let last = names.len() < limit;
        let mut jumped = false;
        for name in names {
            if page.lines.len() == ask.max {
                page.truncated = true;
                return Ok(page);
            }
            if let Some(common) = ask.common(&name) {
                page.lines.push(Line::Common(common.to_owned()));
                after = past(common);
                jumped = true;
                break;
            }
            name.as_ref().clone_into(&mut after);
            if let Some(stat) = objects.stat(&name)? {
                page.lines.push(Line::Name(name, stat));
            }
        }
        if last && !jumped {
            return Ok(page);
        }
    }
}

impl Page {
    /// The last name or common prefix that it tells, where more comes after it.
    pub(super) fn next(&self) -> Option<&str> {
        self.lines.last().filter(|_| self.truncated).map(|line| match line {
            Line::Name(name, _) => name,
            Line::Common(common) => common.as_str(),
        })
    }

    /// How many lines it has; at most [`LIST_NAMES_MAX`].
    pub(super) fn count(&self) -> i32 {
        i32::try_from(self.lines.len()).unwrap_or(i32::MAX)
    }

    /// Its lines in S3's words.
    pub(super) fn words(self, encoding: Option<&EncodingType>) -> S3Result<Words> {
        let (mut names, mut commons) = (Vec::new(), Vec::new());
        for line in self.lines {
            match line {
                Line::Name(name, stat) => names.push(Object {
                    key: Some(encoded(&name, encoding)?),
                    size: i64::try_from(stat.body_bytes).ok(),
                    e_tag: Some(ETag::Strong(stat.stamp.etag.to_string())),
                    last_modified: Some(timestamp(stat.stamp.modified_s)),
                    ..Object::default()
                }),
                Line::Common(prefix) => {
                    commons.push(CommonPrefix { prefix: Some(encoded(&prefix, encoding)?) });
                }
            }
        }
        Ok((names, commons))
    }
}

/// The names of a page and what the others are rolled into.
type Words = (Vec<Object>, Vec<CommonPrefix>);

/// A name as a listing tells it. One that XML cannot hold is told in the encoding for URLs, and to whoever does not ask for
/// that, not at all: XML that cannot be read would look like a broken store.
pub(super) fn encoded(name: &str, encoding: Option<&EncodingType>) -> S3Result<String> {
    match encoding {
        Some(encoding) if encoding.as_str() == EncodingType::URL => Ok(plain::encode(name)),
        _ if in_xml(name) => Ok(name.to_owned()),
        _ => Err(s3_error!(InvalidArgument, "a name that XML cannot hold: encoding-type=url")),
    }
}

/// Whether XML gives this text back as it is. A carriage return comes back as a line feed.
pub(super) fn in_xml(text: &str) -> bool {
    let held = |c: char| c >= ' ' || c == '\t' || c == '\n';
    text.chars().all(|c| held(c) && c != '\u{fffe}' && c != '\u{ffff}')
}

/// S3's form of seconds since 1970.
pub(super) fn timestamp(seconds: u64) -> Timestamp {
    let since = std::time::Duration::from_secs(seconds);
    std::time::UNIX_EPOCH.checked_add(since).unwrap_or(std::time::UNIX_EPOCH).into()
}

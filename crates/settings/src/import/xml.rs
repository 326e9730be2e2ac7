//! A small reader for the XML of configuration files: elements, attributes, text, comments, CDATA. No
//! document types, no entities beyond the five of XML and numbers, a limit on size and depth.

/// An element.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(super) struct Element {
    /// Its name, as written.
    pub name: String,
    /// Its line, from 1.
    pub line: usize,
    attributes: Vec<(String, String)>,
    /// Elements within.
    pub children: Vec<Element>,
    /// Text within.
    pub text: String,
}

impl Element {
    /// An attribute's value.
    pub(super) fn get(&self, name: &str) -> Option<&str> {
        let mut found = self.attributes.iter().filter(|(key, _)| key == name);
        found.next().map(|(_, value)| value.as_str())
    }

    /// Runs over every attribute value and text in this tree.
    pub(super) fn rewrite(&mut self, change: &impl Fn(&str) -> String) {
        for (_, value) in &mut self.attributes {
            *value = change(value);
        }
        self.text = change(&self.text);
        for child in &mut self.children {
            child.rewrite(change);
        }
    }
}

/// Why a file is no XML that we read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("line {line}: {what}")]
pub(super) struct XmlError {
    /// Where.
    pub line: usize,
    /// What is wrong.
    pub what: &'static str,
}

/// The largest file.
const MOST_BYTES: usize = 8 << 20;
/// How deep elements may nest.
const DEEPEST: usize = 64;

/// The top elements of a document; there may be several.
pub(super) fn parse(text: &str) -> Result<Vec<Element>, XmlError> {
    let mut reader = Reader {
        rest: text,
        line: 1,
    };
    if text.len() > MOST_BYTES {
        return Err(reader.fault("larger than 8 MiB"));
    }
    let mut open = vec![Element::default()];
    while !reader.rest.is_empty() {
        reader.step(&mut open)?;
    }
    match open.pop() {
        Some(root) if open.is_empty() => Ok(root.children),
        _ => Err(reader.fault("an element is never closed")),
    }
}

struct Reader<'a> {
    rest: &'a str,
    line: usize,
}

impl<'a> Reader<'a> {
    fn fault(&self, what: &'static str) -> XmlError {
        XmlError {
            line: self.line,
            what,
        }
    }

    /// Goes on by so many bytes.
    fn take(&mut self, bytes: usize) -> &'a str {
        let (taken, rest) = self.rest.split_at(bytes);
        self.line += taken.matches('\n').count();
        self.rest = rest;
        taken
    }

    /// Everything before `end`; goes on behind it.
    fn until(&mut self, end: &str, missing: &'static str) -> Result<&'a str, XmlError> {
        let at = self.rest.find(end).ok_or_else(|| self.fault(missing))?;
        let taken = self.take(at);
        self.take(end.len());
        Ok(taken)
    }

    fn step(&mut self, open: &mut Vec<Element>) -> Result<(), XmlError> {
        if self.rest.starts_with("<!--") {
            self.until("-->", "a comment is never closed")?;
        } else if self.rest.starts_with("<![CDATA[") {
            self.take("<![CDATA[".len());
            let text = self.until("]]>", "a CDATA section is never closed")?;
            say(open, text);
        } else if self.rest.starts_with("<?") {
            self.until("?>", "an instruction is never closed")?;
        } else if self.rest.starts_with("<!") {
            return Err(self.fault("document types are not read"));
        } else if self.rest.starts_with("</") {
            self.close(open)?;
        } else if self.rest.starts_with('<') {
            self.open(open)?;
        } else {
            let end = self.rest.find('<').unwrap_or(self.rest.len());
            let text = decode(self.take(end));
            say(open, &text);
        }
        Ok(())
    }

    fn close(&mut self, open: &mut Vec<Element>) -> Result<(), XmlError> {
        let name = self.until(">", "a tag is never closed")?;
        let name = name.trim_start_matches("</").trim();
        let done = open.pop().filter(|element| element.name == name);
        let (Some(done), Some(parent)) = (done, open.last_mut()) else {
            return Err(self.fault("an end without its beginning"));
        };
        parent.children.push(done);
        Ok(())
    }

    fn open(&mut self, open: &mut Vec<Element>) -> Result<(), XmlError> {
        let line = self.line;
        self.take(1);
        let mut element = Element {
            name: self.word().to_owned(),
            line,
            ..Element::default()
        };
        if element.name.is_empty() {
            return Err(self.fault("a tag without a name"));
        }
        loop {
            self.space();
            if self.rest.starts_with("/>") {
                self.take(2);
                return match open.last_mut() {
                    Some(parent) => {
                        parent.children.push(element);
                        Ok(())
                    }
                    None => Err(self.fault("an element outside of everything")),
                };
            }
            if self.rest.starts_with('>') {
                self.take(1);
                open.push(element);
                return match open.len() > DEEPEST {
                    true => Err(self.fault("nested too deep")),
                    false => Ok(()),
                };
            }
            element.attributes.push(self.attribute()?);
        }
    }

    fn attribute(&mut self) -> Result<(String, String), XmlError> {
        let name = self.word().to_owned();
        self.space();
        if name.is_empty() || !self.rest.starts_with('=') {
            return Err(self.fault("an attribute is a name, = and a quoted value"));
        }
        self.take(1);
        self.space();
        let quote = match self.rest.chars().next() {
            Some('"') => "\"",
            Some('\'') => "'",
            _ => return Err(self.fault("an attribute's value is not quoted")),
        };
        self.take(1);
        let value = self.until(quote, "an attribute's value is never closed")?;
        Ok((name, decode(value)))
    }

    fn word(&mut self) -> &'a str {
        let ends = |c: char| c.is_whitespace() || matches!(c, '=' | '>' | '/' | '<' | '"' | '\'');
        let end = self.rest.find(ends).unwrap_or(self.rest.len());
        self.take(end)
    }

    fn space(&mut self) {
        let end = self.rest.find(|c: char| !c.is_whitespace());
        self.take(end.unwrap_or(self.rest.len()));
    }
}

fn say(open: &mut [Element], text: &str) {
    if let Some(element) = open.last_mut() {
        element.text.push_str(text.trim());
    }
}

/// `&lt;` and its kin; what is none of them stays as it is.
fn decode(text: &str) -> String {
    let mut out = String::new();
    let mut rest = text;
    while let Some((before, after)) = rest.split_once('&') {
        out.push_str(before);
        let entity = after.split_once(';').and_then(|(name, more)| {
            let c = entity(name)?;
            Some((c, more))
        });
        match entity {
            Some((c, more)) => {
                out.push(c);
                rest = more;
            }
            None => {
                out.push('&');
                rest = after;
            }
        }
    }
    out + rest
}

fn entity(name: &str) -> Option<char> {
    match name {
        "lt" => Some('<'),
        "gt" => Some('>'),
        "amp" => Some('&'),
        "quot" => Some('"'),
        "apos" => Some('\''),
        _ => {
            let number = name.strip_prefix('#')?;
            let code = match number.strip_prefix('x') {
                Some(hex) => u32::from_str_radix(hex, 16).ok()?,
                None => number.parse().ok()?,
            };
            char::from_u32(code)
        }
    }
}

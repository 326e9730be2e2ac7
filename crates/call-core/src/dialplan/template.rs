//! Text with `{variable}` in it.

use std::borrow::Cow;
use std::fmt;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer};

use super::Variables;

/// A checked template: literal text and variable names. `{{` and `}}` stand for braces.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Template {
    source: String,
    parts: Vec<Part>,
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Part {
    Text(String),
    Variable(String),
}

/// Why a value may not go where the dialplan wants to put it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum Refused {
    /// The variable holds a character that could change the meaning of a SIP header or URI.
    #[error("{{{variable}}} holds {found:?}, which may not go into a target")]
    Character {
        /// Which variable.
        variable: String,
        /// The character.
        found: char,
    },
    /// Nothing set the variable.
    #[error("{{{variable}}} is not set")]
    Unset {
        /// Which variable.
        variable: String,
    },
}

impl Template {
    /// Reads a template; the error says what is wrong with its braces.
    pub fn parse(source: &str) -> Result<Template, String> {
        let mut parts = Vec::new();
        let mut text = String::new();
        let mut chars = source.chars().peekable();
        while let Some(c) = chars.next() {
            match c {
                '{' if chars.next_if_eq(&'{').is_some() => text.push('{'),
                '}' if chars.next_if_eq(&'}').is_some() => text.push('}'),
                '{' => {
                    let name = reference(&mut chars)?;
                    parts.push(Part::Text(std::mem::take(&mut text)));
                    parts.push(Part::Variable(name));
                }
                '}' => return Err("a `}` stands alone; write `}}` for a brace".to_owned()),
                _ => text.push(c),
            }
        }
        parts.push(Part::Text(text));
        Ok(Template {
            source: source.to_owned(),
            parts,
        })
    }

    /// As written.
    pub fn source(&self) -> &str {
        &self.source
    }

    /// The variables it names.
    pub fn variables(&self) -> impl Iterator<Item = &str> {
        self.parts.iter().filter_map(|part| match part {
            Part::Variable(name) => Some(name.as_str()),
            Part::Text(_) => None,
        })
    }

    /// The text for people: unset variables are empty, secret ones `[secret]`, control characters spaces.
    pub fn text(&self, variables: &Variables) -> String {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(name) if variables.is_secret(name) => out.push_str("[secret]"),
                Part::Variable(name) => {
                    let value = variables.get(name).unwrap_or("");
                    out.extend(value.chars().map(|c| if c.is_control() { ' ' } else { c }));
                }
            }
        }
        out
    }

    /// The text inside a SIP URI: values are escaped (RFC 3986 §2.1), and CR, LF, `@` and
    /// `;` in them are refused, so that nothing a caller sends can name another host or header.
    pub fn target(&self, variables: &Variables) -> Result<String, Refused> {
        let mut out = String::new();
        for part in &self.parts {
            match part {
                Part::Text(text) => out.push_str(text),
                Part::Variable(name) => out.push_str(&escaped(name, variables)?),
            }
        }
        Ok(out)
    }
}

impl fmt::Display for Template {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.source)
    }
}

fn reference(chars: &mut impl Iterator<Item = char>) -> Result<String, String> {
    let mut name = String::new();
    for c in chars {
        if c != '}' {
            name.push(c);
            continue;
        }
        let valid = name.split('.').all(super::variables::is_name);
        return if valid {
            Ok(name)
        } else {
            Err(format!("`{{{name}}}` is not a variable name"))
        };
    }
    Err("a `{` is not closed; write `{{` for a brace".to_owned())
}

impl<'de> Deserialize<'de> for Template {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Template, D::Error> {
        let text = Cow::<'de, str>::deserialize(deserializer)?;
        Template::parse(&text).map_err(serde::de::Error::custom)
    }
}

impl JsonSchema for Template {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Template".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "format": "template" })
    }
}

fn escaped(name: &str, variables: &Variables) -> Result<String, Refused> {
    let value = variables.get(name).ok_or_else(|| Refused::Unset {
        variable: name.to_owned(),
    })?;
    let forbidden = value
        .chars()
        .find(|c| matches!(c, '\r' | '\n' | '@' | ';') || c.is_control());
    if let Some(found) = forbidden {
        return Err(Refused::Character {
            variable: name.to_owned(),
            found,
        });
    }
    let mut out = String::new();
    for byte in value.bytes() {
        match byte {
            b'0'..=b'9' | b'a'..=b'z' | b'A'..=b'Z' | b'-' | b'_' | b'.' | b'~' | b'+' | b'*' => {
                out.push(char::from(byte));
            }
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn variables(value: &str) -> Variables {
        let mut variables = Variables::default();
        variables.set("to.ext", value);
        variables
    }

    #[test]
    fn values_are_escaped_in_targets() {
        let template = Template::parse("sip:{to.ext}@10.0.0.1").unwrap();
        assert_eq!(
            template.target(&variables("1001")).unwrap(),
            "sip:1001@10.0.0.1"
        );
        assert_eq!(
            template.target(&variables("a b?c")).unwrap(),
            "sip:a%20b%3Fc@10.0.0.1"
        );
        assert_eq!(
            template.target(&variables("é")).unwrap(),
            "sip:%C3%A9@10.0.0.1"
        );
    }

    #[test]
    fn characters_that_change_a_header_are_refused_in_targets() {
        let template = Template::parse("sip:{to.ext}@10.0.0.1").unwrap();
        for bad in [
            "x\r\nVia: y",
            "x@evil.example",
            "x;maddr=1.2.3.4",
            "x\ny",
            "\u{0}",
        ] {
            assert!(template.target(&variables(bad)).is_err(), "{bad:?}");
        }
        assert!(
            template.target(&Variables::default()).is_err(),
            "an unset variable"
        );
    }

    #[test]
    fn secrets_never_expand() {
        let mut variables = Variables::default();
        variables.set_secret("pin", "1234");
        let template = Template::parse("your pin {pin}").unwrap();
        assert_eq!(template.text(&variables), "your pin [secret]");
        assert!(template.target(&variables).is_err());
    }

    #[test]
    fn braces_can_be_written_and_bad_ones_are_refused() {
        assert_eq!(
            Template::parse("{{x}}")
                .unwrap()
                .text(&Variables::default()),
            "{x}"
        );
        for bad in ["{", "{}", "}", "{a b}", "{A}", "{a"] {
            assert!(Template::parse(bad).is_err(), "{bad}");
        }
    }
}

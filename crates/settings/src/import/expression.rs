//! Expressions of conditions: what FreeSWITCH searches for with PCRE, as our whole-string form.

/// An expression in our form.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Carried {
    /// The expression, its groups named `g1`, `g2` and so on.
    pub expression: String,
    /// It must fit the whole value (else it may fit anywhere within).
    pub whole: bool,
    /// How many groups it has.
    pub groups: usize,
}

/// Carries an expression over, or says why not.
pub(super) fn carry(expression: &str) -> Result<Carried, &'static str> {
    let (begins, rest) = match expression.strip_prefix('^') {
        Some(rest) => (true, rest),
        None => (false, expression),
    };
    let ends = rest.ends_with('$') && !rest.ends_with("\\$");
    let body = if ends { &rest[..rest.len() - 1] } else { rest };
    if top_level_choice(body) && (begins || ends) {
        return Err("an anchor that holds for one side of | only");
    }
    let (named, groups) = name_groups(body)?;
    let expression = match (begins, ends) {
        (true, true) | (false, false) => named,
        (true, false) => format!("{named}.*"),
        (false, true) => format!(".*{named}"),
    };
    Ok(Carried {
        expression,
        whole: begins || ends,
        groups,
    })
}

/// Whether a `|` stands outside of all groups.
fn top_level_choice(body: &str) -> bool {
    let mut depth = 0_i32;
    let mut marks = Marks::new(body);
    while let Some((c, literal)) = marks.next() {
        match c {
            '(' if !literal => depth += 1,
            ')' if !literal => depth -= 1,
            '|' if !literal && depth == 0 => return true,
            _ => {}
        }
    }
    false
}

fn name_groups(body: &str) -> Result<(String, usize), &'static str> {
    let (mut out, mut groups) = (String::new(), 0);
    let mut marks = Marks::new(body);
    while let Some((c, literal)) = marks.next() {
        out.push(c);
        if c != '(' || literal {
            continue;
        }
        let rest = marks.rest();
        if rest.starts_with("?:") {
            continue;
        }
        if rest.starts_with('?') || rest.starts_with('*') {
            return Err("expressions run in linear time here: no look-around, no special groups");
        }
        groups += 1;
        out.push_str(&format!("?<g{groups}>"));
    }
    Ok((out, groups))
}

/// The characters of an expression, and whether each stands for itself (escaped, or in a class).
struct Marks<'a> {
    chars: std::str::Chars<'a>,
    escaped: bool,
    class: bool,
}

impl<'a> Marks<'a> {
    fn new(text: &'a str) -> Self {
        Self {
            chars: text.chars(),
            escaped: false,
            class: false,
        }
    }

    fn rest(&self) -> &'a str {
        self.chars.as_str()
    }

    fn next(&mut self) -> Option<(char, bool)> {
        let c = self.chars.next()?;
        let literal = self.escaped || self.class;
        if self.escaped {
            self.escaped = false;
        } else if c == '\\' {
            self.escaped = true;
        } else if c == '[' {
            self.class = true;
        } else if c == ']' {
            self.class = false;
        }
        Some((c, literal))
    }
}

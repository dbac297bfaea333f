//! `--chmod`: permission bits, or chmod's symbolic language.
//!
//! ```text
//! clauses = clause ("," clause)*        u=rwX,go=rX
//! clause  = [ugoa]* (op perms)+         op: + - =    perms: [rwxXst]* or one of u g o
//! ```
//! No umask applies: a clause without a class means all of them.

use wharf_model::build::ModeChange;

/// A text is not a mode.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("invalid mode `{0}`: expected octal digits up to 7777, or a form such as u=rwX,go=rX")]
pub struct ModeError(String);

/// A mode, or what to change of one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Change {
    Bits(u32),
    Steps(Vec<Step>),
}

/// `who op what`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Step {
    who: Who,
    op: char,
    what: What,
}

/// The classes a clause names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Who {
    user: bool,
    group: bool,
    other: bool,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum What {
    /// `rwxXst`, the first three as bits of one class.
    Perms { bits: u32, execute_if_any: bool, set_id: bool, sticky: bool },
    /// Those of a class, by its shift.
    Like(u32),
}

const USER: u32 = 6;
const GROUP: u32 = 3;
const OTHER: u32 = 0;

impl Change {
    pub(super) fn parse(change: &ModeChange) -> Result<Self, ModeError> {
        match change {
            ModeChange::Bits(bits) if *bits <= 0o7777 => Ok(Self::Bits(*bits)),
            ModeChange::Bits(bits) => Err(ModeError(format!("{bits:o}"))),
            ModeChange::Symbolic(text) => steps(text).map(Self::Steps).ok_or_else(|| ModeError(text.clone())),
        }
    }

    /// What becomes of `mode`.
    pub(super) fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        match self {
            Self::Bits(bits) => *bits,
            Self::Steps(steps) => steps.iter().fold(mode, |mode, step| step.apply(mode, is_dir)),
        }
    }
}

fn steps(text: &str) -> Option<Vec<Step>> {
    let mut steps = Vec::new();
    for clause in text.split(',') {
        let ops = clause.find(['+', '-', '='])?;
        let who = who(&clause[..ops])?;
        let mut rest = &clause[ops..];
        while let Some(op) = rest.chars().next() {
            let end = rest[1..].find(['+', '-', '=']).map_or(rest.len(), |at| at + 1);
            steps.push(Step { who, op, what: what(&rest[1..end])? });
            rest = &rest[end..];
        }
    }
    Some(steps)
}

fn who(classes: &str) -> Option<Who> {
    let all = classes.is_empty();
    let mut who = Who { user: all, group: all, other: all };
    for class in classes.chars() {
        match class {
            'u' => who.user = true,
            'g' => who.group = true,
            'o' => who.other = true,
            'a' => who = Who { user: true, group: true, other: true },
            _ => return None,
        }
    }
    Some(who)
}

fn what(perms: &str) -> Option<What> {
    match perms {
        "u" => return Some(What::Like(USER)),
        "g" => return Some(What::Like(GROUP)),
        "o" => return Some(What::Like(OTHER)),
        _ => {}
    }
    let (mut bits, mut execute_if_any, mut set_id, mut sticky) = (0, false, false, false);
    for perm in perms.chars() {
        match perm {
            'r' => bits |= 0o4,
            'w' => bits |= 0o2,
            'x' => bits |= 0o1,
            'X' => execute_if_any = true,
            's' => set_id = true,
            't' => sticky = true,
            _ => return None,
        }
    }
    Some(What::Perms { bits, execute_if_any, set_id, sticky })
}

impl Who {
    /// `bits` of one class, for each class that is named.
    fn spread(self, bits: u32) -> u32 {
        let classes = [(self.user, USER), (self.group, GROUP), (self.other, OTHER)];
        classes.iter().filter(|(named, _)| *named).map(|(_, shift)| bits << shift).sum()
    }

    fn set_id(self) -> u32 {
        (if self.user { 0o4000 } else { 0 }) | (if self.group { 0o2000 } else { 0 })
    }
}

impl Step {
    fn apply(&self, mode: u32, is_dir: bool) -> u32 {
        let named = self.named(mode, is_dir);
        match self.op {
            '+' => mode | named,
            '-' => mode & !named,
            _ => mode & !self.replaced(is_dir) | named,
        }
    }

    fn named(&self, mode: u32, is_dir: bool) -> u32 {
        match self.what {
            What::Like(shift) => self.who.spread(mode >> shift & 0o7),
            What::Perms { bits, execute_if_any, set_id, sticky } => {
                let execute = execute_if_any && (is_dir || mode & 0o111 != 0);
                self.who.spread(bits | u32::from(execute))
                    | if set_id { self.who.set_id() } else { 0 }
                    | if sticky { 0o1000 } else { 0 }
            }
        }
    }

    /// What `=` takes away first. As chmod does, a directory keeps its set-id bits.
    fn replaced(&self, is_dir: bool) -> u32 {
        let set_id = if is_dir { 0 } else { self.who.set_id() };
        let sticky = if self.who == (Who { user: true, group: true, other: true }) { 0o1000 } else { 0 };
        self.who.spread(0o7) | set_id | sticky
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn symbolic(text: &str) -> Result<Change, ModeError> {
        Change::parse(&ModeChange::Symbolic(text.into()))
    }

    #[test]
    fn symbolic_modes_change_as_chmod_does() {
        for (text, mode, is_dir, expected) in [
            ("u=rwX,go=rX", 0o600, false, 0o644),
            ("u=rwX,go=rX", 0o700, true, 0o755),
            ("u=rwX,go=rX", 0o611, false, 0o755),
            ("a+x", 0o644, false, 0o755),
            ("+x", 0o600, false, 0o711),
            ("go-rwx", 0o777, false, 0o700),
            ("g=u", 0o640, false, 0o660),
            ("o=g,g=", 0o750, false, 0o705),
            ("u+s,g+s,+t", 0o755, false, 0o7755),
            ("u=rx", 0o4755, false, 0o555),
            ("g=rx", 0o2755, true, 0o2755),
            ("u+r-w", 0o200, false, 0o400),
            ("a=", 0o7777, false, 0),
        ] {
            assert_eq!(symbolic(text).unwrap().apply(mode, is_dir), expected, "{text} on {mode:o}");
        }
    }

    #[test]
    fn what_is_no_mode_is_refused() {
        for text in ["", "u", "rwx", "u=q", "z+x", "u=rw,,g=r", "u=ug", "755x", "é+x", "+é"] {
            assert!(symbolic(text).is_err(), "for {text:?}");
        }
        assert!(Change::parse(&ModeChange::Bits(0o17777)).is_err());
        assert_eq!(Change::parse(&ModeChange::Bits(0o644)).unwrap().apply(0o755, true), 0o644);
    }
}

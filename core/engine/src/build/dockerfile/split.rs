//! Cutting a logical line into keyword, flags and rest, and a rest into words.

/// The parts of a line.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Parts {
    /// The first word.
    pub(super) keyword: String,
    /// `--name` words right behind it, quotes and escapes removed.
    pub(super) flags: Vec<String>,
    /// What follows, trimmed.
    pub(super) rest: String,
}

pub(super) fn command(line: &str, escape: char) -> Parts {
    let line = line.trim();
    let (keyword, rest) = line.split_once(is_blank).unwrap_or((line, ""));
    let (flags, rest) = flags(rest.trim_start_matches(is_blank), escape);
    Parts { keyword: keyword.to_owned(), flags, rest: rest.trim().to_owned() }
}

/// Blanks that part words; a line feed is none of them.
pub(super) fn is_blank(letter: char) -> bool {
    matches!(letter, '\t' | '\x0b' | '\x0c' | '\r' | ' ')
}

/// Takes the leading words that begin with `--`, up to a lone `--`.
fn flags(mut rest: &str, escape: char) -> (Vec<String>, &str) {
    let mut flags = Vec::new();
    loop {
        rest = rest.trim_start();
        if !rest.starts_with("--") {
            return (flags, rest);
        }
        let (word, behind) = flag(rest, escape);
        rest = behind;
        match word.as_str() {
            "--" => return (flags, rest),
            _ => flags.push(word),
        }
    }
}

/// One word without its quotes and escapes, and what follows it.
fn flag(text: &str, escape: char) -> (String, &str) {
    let mut word = String::new();
    let mut quote = None;
    let mut letters = text.char_indices();
    while let Some((at, letter)) = letters.next() {
        match quote {
            None if letter.is_whitespace() => return (word, &text[at..]),
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            Some(mark) if letter == mark => quote = None,
            _ if letter == escape => word.extend(letters.next().map(|(_, escaped)| escaped)),
            _ => word.push(letter),
        }
    }
    (word, "")
}

/// Splits on blanks outside quotes. Quotes and escapes stay for the expansion to remove.
pub(super) fn quoted_words(text: &str, escape: char) -> Vec<String> {
    let mut words = Vec::new();
    let mut word: Option<String> = None;
    let mut quote = None;
    let mut letters = text.chars().peekable();
    while let Some(letter) = letters.next() {
        if quote.is_none() && letter.is_whitespace() {
            words.extend(word.take());
            continue;
        }
        let escapes = letter == escape && quote != Some('\'');
        if escapes && letters.peek().is_none() {
            break;
        }
        let word = word.get_or_insert_default();
        word.push(letter);
        match quote {
            _ if escapes => word.extend(letters.next()),
            None if letter == '\'' || letter == '"' => quote = Some(letter),
            Some(mark) if letter == mark => quote = None,
            _ => {}
        }
    }
    words.extend(word);
    words
}

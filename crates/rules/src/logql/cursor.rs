//! A position among the tokens, and the ways to move it.

use super::LogqlError;
use super::lex::{Kind, Token, lex};

/// Deepest nesting of brackets and operands.
const MAX_DEPTH: usize = 64;
/// Most operators and calls in one query: trees are dropped and lowered recursively.
const MAX_NODES: usize = 1_000;

/// Reads tokens; the last is the end and is never passed.
pub(super) struct Cursor<'a> {
    /// The query.
    pub text: &'a str,
    tokens: Vec<Token>,
    at: usize,
    depth: usize,
    nodes: usize,
}

impl<'a> Cursor<'a> {
    /// At the first token.
    pub(super) fn new(text: &'a str) -> Result<Self, LogqlError> {
        Ok(Self {
            text,
            tokens: lex(text)?,
            at: 0,
            depth: 0,
            nodes: 0,
        })
    }

    /// Whether the query gives records: after any brackets it begins with a selector.
    pub(super) fn is_log_query(&self) -> bool {
        self.tokens
            .iter()
            .find(|token| token.kind != Kind::Sign("("))
            .is_some_and(|t| t.kind == Kind::Sign("{"))
    }

    /// The next token.
    pub(super) fn peek(&self) -> &Token {
        &self.tokens[self.at]
    }

    /// The token after the next `skip` ones.
    pub(super) fn peek_past(&self, skip: usize) -> &Kind {
        &self.tokens[(self.at + skip).min(self.tokens.len() - 1)].kind
    }

    /// First byte of the next token.
    pub(super) fn here(&self) -> usize {
        self.peek().at
    }

    /// Byte after the last token that was read.
    pub(super) fn read_to(&self) -> usize {
        if self.at == 0 {
            0
        } else {
            self.tokens[self.at - 1].end
        }
    }

    /// Moves past the next token and gives it.
    pub(super) fn next(&mut self) -> Token {
        let token = self.tokens[self.at].clone();
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        token
    }

    /// Whether the next token is this sign.
    pub(super) fn sees(&self, sign: &str) -> bool {
        matches!(self.peek().kind, Kind::Sign(own) if own == sign)
    }

    /// Whether the next token is this word.
    pub(super) fn sees_word(&self, word: &str) -> bool {
        matches!(&self.peek().kind, Kind::Name(own) if own == word)
    }

    /// Moves past the sign if it is next.
    pub(super) fn eat(&mut self, sign: &str) -> bool {
        let seen = self.sees(sign);
        if seen {
            self.next();
        }
        seen
    }

    /// Moves past the word if it is next.
    pub(super) fn eat_word(&mut self, word: &str) -> bool {
        let seen = self.sees_word(word);
        if seen {
            self.next();
        }
        seen
    }

    /// Moves past the flag if it is next.
    pub(super) fn eat_flag(&mut self, flag: &str) -> bool {
        let seen = matches!(self.peek().kind, Kind::Flag(own) if own == flag);
        if seen {
            self.next();
        }
        seen
    }

    /// Moves past the sign or says what stands there instead.
    pub(super) fn expect(&mut self, sign: &str) -> Result<(), LogqlError> {
        if self.eat(sign) {
            Ok(())
        } else {
            Err(self.unexpected(&format!("`{sign}`")))
        }
    }

    /// The next token as a name.
    pub(super) fn name(&mut self, what: &str) -> Result<(String, usize), LogqlError> {
        match &self.peek().kind {
            Kind::Name(name) => {
                let name = name.clone();
                Ok((name, self.next().at))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// The next token as a quoted text.
    pub(super) fn quoted(&mut self, what: &str) -> Result<(String, usize), LogqlError> {
        match &self.peek().kind {
            Kind::Text(text) => {
                let text = text.clone();
                Ok((text, self.next().at))
            }
            _ => Err(self.unexpected(what)),
        }
    }

    /// Nothing may follow.
    pub(super) fn expect_end(&self) -> Result<(), LogqlError> {
        if self.peek().kind == Kind::End {
            Ok(())
        } else {
            Err(self.unexpected("the end of the query"))
        }
    }

    /// An error at the next token.
    pub(super) fn unexpected(&self, wanted: &str) -> LogqlError {
        let token = self.peek();
        let found = match token.kind {
            Kind::End => "the query ends".to_owned(),
            _ => format!("found `{}`", &self.text[token.at..token.end]),
        };
        LogqlError::new(token.at, format!("expected {wanted}, {found}"))
    }

    /// Runs a parser one level deeper.
    pub(super) fn deeper<T>(
        &mut self,
        parse: impl FnOnce(&mut Self) -> Result<T, LogqlError>,
    ) -> Result<T, LogqlError> {
        if self.depth == MAX_DEPTH {
            return Err(LogqlError::new(
                self.here(),
                format!("nested more than {MAX_DEPTH} deep"),
            ));
        }
        self.depth += 1;
        let parsed = parse(self);
        self.depth -= 1;
        parsed
    }

    /// Counts an operator or call.
    pub(super) fn count(&mut self) -> Result<(), LogqlError> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(LogqlError::new(
                self.here(),
                format!("more than {MAX_NODES} operators and calls"),
            ));
        }
        Ok(())
    }
}

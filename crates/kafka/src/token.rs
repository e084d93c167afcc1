//! Tokens for SASL OAUTHBEARER, from a file that somebody keeps fresh (a projected service account
//! token, say).

use std::error::Error;
use std::fs;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use rdkafka::client::OAuthToken;
use serde::Deserialize;

/// What a token says of itself (RFC 7519, section 4.1).
#[derive(Deserialize)]
struct Claims {
    /// Whom it is for.
    sub: Option<String>,
    /// Until when it is good, in seconds since the epoch.
    exp: f64,
}

/// The token that `sasl.oauthbearer.config` names as `token_file=PATH`. Asked for again before it
/// runs out.
pub(crate) fn token(config: Option<&str>) -> Result<OAuthToken, Box<dyn Error>> {
    let path = config.and_then(|config| config.trim().strip_prefix("token_file="));
    let path = path.ok_or(
        "OAUTHBEARER needs `sasl.oauthbearer.config: token_file=PATH`, a file with a JSON web token",
    )?;
    let text = fs::read_to_string(path).map_err(|error| format!("{path}: {error}"))?;
    read(text.trim()).map_err(|why| format!("{path}: {why}").into())
}

fn read(token: &str) -> Result<OAuthToken, String> {
    let payload = token.split('.').nth(1).ok_or("it is no JSON web token")?;
    let payload = URL_SAFE_NO_PAD.decode(payload.trim_end_matches('='));
    let payload = payload.map_err(|error| format!("its payload is no base64url: {error}"))?;
    let claims: Claims = serde_json::from_slice(&payload)
        .map_err(|error| format!("its claims cannot be read: {error}"))?;
    Ok(OAuthToken {
        token: token.to_owned(),
        principal_name: claims.sub.unwrap_or_default(),
        lifetime_ms: (claims.exp * 1_000.0) as i64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(claims: &str, expect: Result<(&str, i64), &str>) {
        let token = format!("e30.{}.c2ln", URL_SAFE_NO_PAD.encode(claims));
        match (read(&token), expect) {
            (Ok(read), Ok((principal, lifetime_ms))) => {
                assert_eq!(
                    (&*read.principal_name, read.lifetime_ms),
                    (principal, lifetime_ms)
                );
                assert_eq!(read.token, token);
            }
            (Err(why), Err(word)) => assert!(why.contains(word), "{why}"),
            (_, expect) => panic!("{claims}: expected {expect:?}"),
        }
    }

    #[test]
    fn a_token_says_whom_it_is_for_and_until_when() {
        check(
            r#"{"sub":"foghorn","exp":1795000000}"#,
            Ok(("foghorn", 1_795_000_000_000)),
        );
        check(r#"{"exp":1795000000.5}"#, Ok(("", 1_795_000_000_500)));
        check(r#"{"sub":"foghorn"}"#, Err("exp"));
        check("hello", Err("claims"));
    }

    #[test]
    fn a_file_that_holds_none_is_named() {
        let said = |config| token(config).map(drop).unwrap_err().to_string();
        assert!(said(None).contains("token_file="));
        assert!(said(Some("token_file=/nowhere/token")).contains("/nowhere/token"));
    }
}

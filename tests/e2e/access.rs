//! Who may come in by HTTP.

use crate::home::{Home, until};

const CONFIG: &str = "
sources: []
sinks: [{type: ndjson, name: lines, path: incidents.ndjson}]
";

const RULES: &str = "
groups:
  - name: none
    rules: [{alert: Never, expr: vector(0) > 1}]
";

/// `secret` under bcrypt, as `htpasswd -nbB -C 4` writes it.
const WEB: &str = "
basic_auth_users:
  ada: $2b$04$HASH
read_only: [ada]
";

fn home(listen: &str, more: &str, web: &str) -> Home {
    let http = format!("http: {{listen: '{listen}', {more}}}");
    let home = Home::new(&format!("{CONFIG}{http}"), RULES);
    home.write("web.yaml", web);
    home
}

#[test]
fn open_to_others_it_does_not_start_without_asking_who_they_are() {
    let mut home = home("0.0.0.0:0", "", WEB);
    home.spawn();
    assert!(!home.await_end(20).success());
    assert!(home.has_said("web_config_file"));
}

#[test]
fn the_web_configuration_holds_and_is_read_again_when_it_changes() {
    let web = WEB.replace("$2b$04$HASH", &bcrypt::hash("secret", 4).unwrap());
    let mut home = home("127.0.0.1:0", "web_config_file: web.yaml", &web);
    home.spawn();
    home.address();
    let status = |home: &Home, headers: &[&str]| home.ask("GET /metrics", headers, b"").status;
    // ada:secret
    let ada = ["Authorization: Basic YWRhOnNlY3JldA=="];
    assert_eq!((status(&home, &[]), status(&home, &ada)), (401, 200));
    assert_eq!(home.ask("POST /-/reload", &ada, b"").status, 403);
    // One that makes no sense changes nothing.
    home.write("web.yaml", "basic_auth_user: {}");
    until("a word about it", 20, || {
        home.has_said("is not used").then_some(())
    });
    assert_eq!((status(&home, &[]), status(&home, &ada)), (401, 200));
    // One that names a file before it is there holds as soon as it is.
    let later = format!("{web}bearer_token_files: {{later: token}}\n");
    home.write("web.yaml", &later);
    until("a word about the file", 20, || {
        home.has_said("bearer_token_files").then_some(())
    });
    home.write("token", "0123456789abcdef");
    until("the token to hold", 20, || {
        let bearer = ["Authorization: Bearer 0123456789abcdef"];
        (status(&home, &bearer) == 200).then_some(())
    });
    home.write("web.yaml", &web.replace("ada", "eve"));
    until("the change to hold", 20, || {
        (status(&home, &ada) == 401).then_some(())
    });
    // eve:secret
    let eve = ["Authorization: Basic ZXZlOnNlY3JldA=="];
    assert_eq!(status(&home, &eve), 200);
    home.stop();
}

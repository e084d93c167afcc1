//! Clients that log in to the cluster over TLS, by every mechanism that is offered.

use std::fs;
use std::path::Path;

use base64::Engine as _;
use base64::engine::general_purpose::URL_SAFE_NO_PAD;
use foghorn_runtime::clock::wall;
use foghorn_testkit::broker::Broker;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::feed::Feed;
use crate::home::{Home, not_proven, until};

const RULES: &str = r"
groups:
  - name: requests
    interval: 1s
    rules:
      - alert: HighErrorRate
        expr: max by (service_name) (error_ratio) > 0.05
        labels: {severity: critical}
";

/// What a broker needs to know of its own, and its clients of it.
fn write_secrets(folder: &Path) {
    let mut params = CertificateParams::new(Vec::new()).unwrap();
    params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    // Another name than the broker's, whose certificate would seem to have signed itself.
    params
        .distinguished_name
        .push(DnType::CommonName, "an authority");
    let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
    let certificate = params.signed_by(&key, &issuer).unwrap();
    let broker = format!("{}{}", key.serialize_pem(), certificate.pem());
    fs::write(folder.join("broker.pem"), broker).unwrap();
    fs::write(folder.join("ca.pem"), issuer.pem()).unwrap();
    fs::write(folder.join("password"), "correct-horse-battery").unwrap();
    // Nobody signed it: for a test that will do.
    let seconds = wall().ms() / 1_000;
    let claims = format!(
        r#"{{"sub":"foghorn","iat":{seconds},"exp":{}}}"#,
        seconds + 600
    );
    let parts = [r#"{"alg":"none"}"#, &claims].map(|part| URL_SAFE_NO_PAD.encode(part));
    fs::write(folder.join("token"), format!("{}.{}.", parts[0], parts[1])).unwrap();
}

fn home(broker: &Broker, folder: &Path, metrics: &str, mechanism: &str, password: &str) -> Home {
    let folder = folder.display();
    let secret = if mechanism == "OAUTHBEARER" {
        format!("sasl.oauthbearer.config: 'token_file={folder}/token'")
    } else {
        "sasl.username: foghorn".to_owned()
    };
    let files = if mechanism == "OAUTHBEARER" {
        "{}".to_owned()
    } else {
        format!("{{sasl.password: '{folder}/{password}'}}")
    };
    let properties = format!(
        "{{security.protocol: SASL_SSL, sasl.mechanism: {mechanism}, ssl.ca.location: '{folder}/ca.pem', {secret}}}"
    );
    let brokers = broker.secure().unwrap();
    let config = format!(
        "
kafka:
  brokers: '{brokers}'
  group: '{metrics}-{mechanism}'
  properties: {properties}
  property_files: {files}
  dead_letter_topic: ''
sources:
  - {{name: metrics, topics: ['{metrics}'], format: otlp_metrics_proto, allowed_lateness: 500ms}}
sinks:
  - {{type: ndjson, name: lines, path: incidents.ndjson}}
  - {{type: kafka, name: bus, brokers: '{brokers}', topic: '{metrics}-out', properties: {properties}, property_files: {files}}}
time: {{idle_timeout: 1s}}
"
    );
    Home::new(&config, RULES)
}

#[test]
fn every_mechanism_reads_and_writes_over_tls_and_a_wrong_password_is_said() {
    let folder = tempfile::tempdir().unwrap();
    write_secrets(folder.path());
    let broker = match Broker::secured(folder.path()) {
        Ok(broker) => broker,
        Err(why) => return not_proven(&format!("no broker, so nobody logged in: {why}")),
    };
    let mut feed = Feed::to(&broker);
    for mechanism in ["PLAIN", "SCRAM-SHA-256", "SCRAM-SHA-512", "OAUTHBEARER"] {
        let metrics = broker.topic("metrics", 1);
        let out = format!("{metrics}-out");
        broker.create_topic(&out, 1);
        let mut home = home(&broker, folder.path(), &metrics, mechanism, "password");
        home.start();
        until(&format!("an incident, by {mechanism}"), 30, || {
            feed.gauge((&metrics, 1), "error_ratio", "payments", 0.2);
            home.incident_with("HighErrorRate", "firing")
        });
        until(&format!("on the topic, by {mechanism}"), 30, || {
            (!feed.read(&out).is_empty()).then_some(())
        });
        home.stop();
    }

    fs::write(folder.path().join("wrong"), "hunter22").unwrap();
    let metrics = broker.topic("metrics", 1);
    let mut home = home(&broker, folder.path(), &metrics, "PLAIN", "wrong");
    home.spawn();
    assert_eq!(home.await_end(60).code(), Some(1));
    let said = home.all_said().join("\n");
    assert!(said.contains("uthentication"), "it says why: {said}");
    assert!(!said.contains("hunter22"), "and no secret");
}

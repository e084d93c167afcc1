//! Any text as a template of labels and annotations, and what it renders.

#![no_main]

use foghorn_model::Labels;
use foghorn_rules::template::{Template, TemplateContext};
use libfuzzer_sys::fuzz_target;

fuzz_target!(|text: &str| {
    match Template::parse(text) {
        Ok(template) => {
            let labels = Labels::from_pairs([("job", "api"), ("instance", "a:1")]);
            let rendered = template.render(&TemplateContext::new(&labels, 1.5));
            let again = template.render(&TemplateContext::new(&labels, 1.5));
            assert_eq!(rendered, again);
        }
        Err((at, _)) => assert!(at <= text.len()),
    }
});

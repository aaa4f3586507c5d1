//! Lines about placeholders.

use serde_json::json;

use super::Offer;

/// A catalogue where the module of type `app` takes what is given as its only input.
async fn app() -> Offer {
    Offer::new(json!([
        {"type": "foo"},
        {"type": "app", "module_params": {"x": {"type": "any", "is_optional": true}}, "dependencies": {"foo": {"type": "foo"}}}
    ]))
    .await
}

fn input(text: &str) -> serde_json::Value {
    json!({"module_inputs": {"in": text}})
}

#[tokio::test]
async fn e20_p01_what_is_a_placeholder() {
    let offer = app().await;
    for text in [
        "${context.env_id}",
        "${resources.foo.outputs.resources}",
        "${resources.foo.outputs.x}",
        "${resources.foo.outputs.x.y}",
        "${self.outputs.a}",
        "${self.outputs.a.b}",
    ] {
        let (status, answer) = offer.api.patch("/modules/app", input(text)).await;
        assert_eq!(status, 200, "{text}: {answer}");
    }
    // `var` is of providers, `shared` of workloads.
    offer
        .provider(
            "main",
            json!({"a": "${var.foo}", "b": "${var.var}", "c": "${context.org_id}"}),
        )
        .await;
    let manifest = json!({"shared": {"db": {"type": "foo"}}, "workloads": {"w1": {"outputs": {
        "A": "${shared.db.outputs.x}", "B": "${shared.db.outputs.x.y}"
    }}}});
    offer.try_out(manifest).await;
}

#[tokio::test]
async fn e20_p02_what_is_a_selector() {
    let offer = app().await;
    for text in [
        "${select.dependencies('foo').outputs.a}",
        "${select.consumers('workload').dependencies('foo').outputs.a}",
        "${select.consumers('access-key#@').outputs.a}",
        "${select.dependencies('s3.read-only').outputs.a}",
    ] {
        let (status, answer) = offer.api.patch("/modules/app", input(text)).await;
        assert_eq!(status, 200, "{text}: {answer}");
    }
}

#[tokio::test]
async fn e20_p03_what_is_none_and_where_it_stops() {
    let offer = app().await;
    for (inner, said) in [
        (
            "context",
            "@0: expected one of context., self.outputs., var., resources., shared., or select.; got \"context\"",
        ),
        (
            "context.fizz.bar",
            "@12: expected end of line; got \".bar\"",
        ),
        (
            "resources.foo",
            "@13: expected \".outputs.\"; got end of line",
        ),
        (
            "resources.foo.outputs",
            "@13: expected \".outputs.\"; got \".outputs\"",
        ),
        (
            "shared.foo.bar",
            "@10: expected \".outputs.\"; got \".bar\"",
        ),
        ("var.", "@4: expected key"),
        ("context.", "@8: expected key"),
        ("resources..outputs", "@10: expected key"),
        (
            "select.unknownFunction('arg').outputs",
            "@7: expected either dependencies( or consumers(; got \"unknownFunction\"",
        ),
        (
            "select.dependencies().outputs",
            "@20: expected filter; got \").\"",
        ),
        (
            "select..outputs",
            "@7: expected either dependencies( or consumers(; got \".outputs\"",
        ),
        ("things", "@0: expected one of"),
        ("dependencies('filter')", "@0: expected one of"),
        ("shared.fii.outputs", "@10: expected"),
    ] {
        let (status, answer) = offer
            .api
            .patch("/modules/app", input(&format!("${{{inner}}}")))
            .await;
        let message = answer["message"].as_str().expect("a message");
        assert_eq!(status, 400, "{inner}");
        assert!(
            message.contains(&format!("invalid placeholder '{inner}': {said}")),
            "{inner}: {message}"
        );
    }
    // Nothing between the braces is a text, and stays one.
    assert_eq!(offer.api.patch("/modules/app", input("${}")).await.0, 200);
}

/// The program with one input of `app`, in an environment with more around it.
async fn selecting(filter: &str) -> String {
    let offer = Offer::new(json!([
        {"type": "foo"}, {"type": "foo", "id": "foo-big", "rule": {"resource_class": "big"}}, {"type": "bar"},
        {"type": "app", "module_inputs": {"in": format!("${{select.dependencies('{filter}').outputs.x}}")},
         "dependencies": {"a1": {"type": "foo"}, "b1": {"type": "foo", "class": "big", "id": "other"}, "c1": {"type": "bar"}}}
    ]))
    .await;
    let text = offer
        .compiled(json!({"workloads": {}, "shared": {"app": {"type": "app"}}}))
        .await;
    let from = text
        .find("\n  in ")
        .unwrap_or_else(|| panic!("no input: {text}"));
    text[from..].split("]").next().expect("a list").to_owned()
}

#[tokio::test]
async fn e20_p04_filters_have_a_type_a_class_and_an_id() {
    for (filter, found) in [
        ("foo", 2),
        ("foo.big", 1),
        ("foo#other", 1),
        ("foo.@#@", 1),
        ("foo.many.classes#is.this#an.id", 0),
        ("", 0),
    ] {
        if filter.is_empty() {
            // A filter that could match nothing is refused when the module is saved.
            continue;
        }
        let text = selecting(filter).await;
        assert_eq!(text.matches("module.").count(), found, "{filter}: {text}");
    }
}

#[tokio::test]
async fn e20_p05_filters_match_whole_words() {
    for (filter, found) in [
        ("fo", 0),
        ("foo.default", 1),
        ("foo.bi", 0),
        ("foo.big#other", 1),
        ("foo.big#oth", 0),
        ("foo#@", 1),
        ("bar", 1),
    ] {
        let text = selecting(filter).await;
        assert_eq!(text.matches("module.").count(), found, "{filter}: {text}");
    }
}

//! Resource types, providers, modules and module rules.

use serde_json::{Value, json};

use super::{Api, assert_refused, masked, refusal};

async fn with_type() -> Api {
    let api = Api::new().await;
    api.make("/resource-types", json!({"id": "db", "output_schema": {}}))
        .await;
    api
}

fn provider(kind: &str, id: &str) -> Value {
    json!({"provider_type": kind, "id": id, "source": "hashicorp/aws", "version_constraint": "~> 1.0"})
}

pub(crate) async fn a_resource_type_is_made_changed_and_removed() {
    let api = Api::new().await;
    let schema = json!({"type": "object", "properties": {"host": {"type": "string"}}});
    let made = api
        .make(
            "/resource-types",
            json!({"id": "db", "output_schema": schema}),
        )
        .await;
    assert_eq!(
        masked(&made),
        json!({"id": "db", "output_schema": schema, "is_developer_accessible": true,
               "created_at": "TIME", "built_in": false})
    );
    assert_eq!(
        api.post("/resource-types", json!({"id": "db", "output_schema": {}}))
            .await,
        refusal(409, "resource type already exists")
    );
    let change = json!({"description": "A database", "is_developer_accessible": false});
    let (status, patched) = api.patch("/resource-types/db", change).await;
    assert_eq!(status, 200);
    assert_eq!(
        masked(&patched),
        json!({"id": "db", "description": "A database", "output_schema": schema,
               "is_developer_accessible": false, "created_at": "TIME", "built_in": false})
    );
    assert_eq!(api.get("/resource-types/db").await, (200, patched));
    assert_eq!(api.delete("/resource-types/db").await.0, 204);
    assert_eq!(
        api.get("/resource-types/db").await,
        refusal(404, "resource type not found")
    );
}

pub(crate) async fn resource_type_mistakes_are_told_in_the_words_of_v1() {
    let api = Api::new().await;
    for (body, message, pointer) in [
        (
            json!({"id": "db", "output_schema": null}),
            "\"/output_schema\": Value is not nullable",
            "/output_schema",
        ),
        (
            json!({"id": "db"}),
            "\"/output_schema\": property \"output_schema\" is missing",
            "/output_schema",
        ),
        (
            json!({"id": "", "output_schema": {}}),
            "id must be a valid resource type identifier",
            "/id",
        ),
        (
            json!({"id": "a/b", "output_schema": {}}),
            "id must be a valid resource type identifier",
            "/id",
        ),
        (
            json!({"id": "workload", "output_schema": {}}),
            "resource type id 'workload' is reserved",
            "/id",
        ),
        (
            json!({"id": "db", "output_schema": {}, "description": "x".repeat(201)}),
            "\"/description\": maximum string length is 200",
            "/description",
        ),
    ] {
        assert_refused(
            &api.post("/resource-types", body).await,
            400,
            message,
            &[pointer],
        );
    }
}

pub(crate) async fn a_provider_echoes_all_it_was_given_and_lists_shorten_it() {
    let api = Api::new().await;
    let mut body = provider("aws", "default");
    body["configuration"] =
        json!({"region": "${context.env_id}", "features[0]": {"x": "${var.A}"}});
    let made = api.make("/module-providers", body.clone()).await;
    assert_eq!(
        masked(&made),
        json!({"org_id": "default", "provider_type": "aws", "id": "default", "source": "hashicorp/aws",
               "version_constraint": "~> 1.0", "configuration": body["configuration"], "created_at": "TIME"})
    );
    assert_eq!(
        api.get("/module-providers/aws/default").await,
        (200, made.clone())
    );
    let (_, page) = api.get("/module-providers").await;
    assert_eq!(
        masked(&page),
        json!({"items": [{"org_id": "default", "provider_type": "aws", "id": "default",
                          "source": "hashicorp/aws", "created_at": "TIME"}]})
    );
    assert_eq!(
        api.patch(
            "/module-providers/aws/default",
            json!({"configuration": null})
        )
        .await,
        (200, made.clone())
    );
    assert_eq!(
        api.patch("/module-providers/aws/default", json!({})).await,
        (200, made)
    );
    let change = json!({"description": "", "version_constraint": "= 2.0.0", "configuration": {}});
    let (_, patched) = api.patch("/module-providers/aws/default", change).await;
    assert_eq!(
        (
            patched.get("description"),
            &patched["version_constraint"],
            &patched["configuration"]
        ),
        (None, &json!("= 2.0.0"), &json!({}))
    );
    assert_eq!(api.delete("/module-providers/aws/default").await.0, 204);
    assert_eq!(
        api.get("/module-providers/aws/default").await,
        refusal(404, "provider not found")
    );
}

pub(crate) async fn provider_mistakes_are_told_in_the_words_of_v1() {
    let api = Api::new().await;
    let with = |key: &str, value: Value| {
        let mut body = provider("aws", "default");
        body[key] = value;
        body
    };
    for (body, message, pointer) in [
        (
            with("id", json!("A")),
            "id must be a valid OpenTofu identifier",
            "/id",
        ),
        (
            with("provider_type", json!("-")),
            "provider_type must be a valid OpenTofu identifier",
            "/provider_type",
        ),
        (
            with("source", json!("aws")),
            "source must match (hostname/)namespace/type",
            "/source",
        ),
        (
            with("version_constraint", json!("1.0")),
            "version_constraint must be a valid provider version constraint",
            "/version_constraint",
        ),
        (
            with("description", json!("x".repeat(201))),
            "\"/description\": maximum string length is 200",
            "/description",
        ),
        (
            with("configuration", json!({"a": "x".repeat(6000)})),
            "provider configuration is too large",
            "/configuration",
        ),
        (
            with("configuration", json!({"a": "${context.animal}"})),
            "invalid configuration: a: 'animal' is not a supported context placeholder key",
            "/configuration/a",
        ),
    ] {
        assert_refused(
            &api.post("/module-providers", body).await,
            400,
            message,
            &[pointer],
        );
    }
    let answer = api
        .post(
            "/module-providers",
            with("configuration", json!({"a": "${a}"})),
        )
        .await;
    assert_refused(
        &answer,
        400,
        "invalid configuration: a: ",
        &["/configuration/a"],
    );
    api.make("/module-providers", provider("aws", "default"))
        .await;
    assert_eq!(
        api.post("/module-providers", provider("aws", "default"))
            .await,
        refusal(409, "provider already exists")
    );
}

pub(crate) async fn providers_are_listed_in_byte_order_over_pages() {
    let api = Api::new().await;
    for number in 1..=10 {
        api.make("/module-providers", provider("aws", &format!("p-{number}")))
            .await;
    }
    api.make("/module-providers", provider("google", "p-1"))
        .await;
    let mut path = "/module-providers?byProviderType=aws&per_page=5".to_owned();
    let mut ids = Vec::new();
    loop {
        let (_, page) = api.get(&path).await;
        for item in page["items"].as_array().expect("items") {
            ids.push(item["id"].as_str().expect("id").to_owned());
        }
        match page["next_page_token"].as_str() {
            Some(token) => {
                path = format!("/module-providers?byProviderType=aws&per_page=5&page={token}")
            }
            None => break,
        }
    }
    assert_eq!(
        ids,
        [
            "p-1", "p-10", "p-2", "p-3", "p-4", "p-5", "p-6", "p-7", "p-8", "p-9"
        ]
    );
}

#[tokio::test]
async fn the_configuration_of_a_provider_is_not_readable_in_the_data_directory() {
    let api = Api::new().await;
    let mut body = provider("aws", "default");
    body["configuration"] = json!({"token": "planted-secret"});
    api.make("/module-providers", body).await;
    for entry in std::fs::read_dir(api._directory.path()).expect("the directory") {
        let path = entry.expect("an entry").path();
        if path.is_file() {
            let bytes = std::fs::read(&path).expect("readable");
            assert!(!bytes.windows(14).any(|window| window == b"planted-secret"));
        }
    }
}

pub(crate) async fn a_module_is_answered_with_maps_and_lists_even_where_none_were_given() {
    let api = with_type().await;
    let made = api
        .make("/modules", json!({"id": "small", "resource_type": "db", "module_source": "s3://bucket/module.zip"}))
        .await;
    assert_eq!(
        masked(&made),
        json!({
            "id": "small", "org_id": "default", "resource_type": "db",
            "module_source": "s3://bucket/module.zip", "module_params": {}, "module_inputs": {},
            "provider_mapping": {}, "dependencies": {}, "coprovisioned": [],
            "version_id": "UUID", "created_at": "TIME", "updated_at": "TIME"
        })
    );
    assert_eq!(api.get("/modules/small").await, (200, made.clone()));
    let (_, page) = api.get("/modules").await;
    assert_eq!(
        masked(&page),
        json!({"items": [{
            "id": "small", "org_id": "default", "resource_type": "db", "provider_mapping": {},
            "module_source": "s3://bucket/module.zip", "version_id": "UUID",
            "created_at": "TIME", "updated_at": "TIME"
        }]})
    );
    assert_eq!(
        api.post(
            "/modules",
            json!({"id": "small", "resource_type": "db", "module_source": "/x"})
        )
        .await,
        refusal(409, "module definition with id small already exists")
    );
    assert_eq!(
        api.listed("/modules?byResourceType=db", "id").await,
        ["small"]
    );
    assert_eq!(
        api.listed("/modules?byResourceType=dns", "id").await,
        Vec::<String>::new()
    );
    for path in ["/modules/none", "/modules/none/versions"] {
        assert_eq!(api.get(path).await, refusal(404, "module not found"));
    }
    assert_eq!(
        api.patch("/modules/none", json!({})).await,
        refusal(404, "module not found")
    );
    assert_eq!(
        api.delete("/modules/none").await,
        refusal(404, "module not found")
    );
}

pub(crate) async fn types_and_providers_that_a_module_names_must_exist() {
    let api = with_type().await;
    let unknown = json!({
        "id": "small", "resource_type": "zebra", "module_source": "/x",
        "dependencies": {"a": {"type": "ant"}, "b": {"type": "db"}},
        "coprovisioned": [{"type": "ant"}, {"type": "bee"}]
    });
    assert_refused(
        &api.post("/modules", unknown).await,
        409,
        "the following types referenced by the module do not exist as builtin or custom types: [ant bee zebra]",
        &[""],
    );
    let unmapped = json!({
        "id": "small", "resource_type": "db", "module_source": "/x",
        "provider_mapping": {"aws": "aws.unknown"}
    });
    assert_refused(
        &api.post("/modules", unmapped).await,
        400,
        "invalid provider mapping: no provider exists with type aws and id unknown",
        &["/provider_mapping"],
    );
}

#[tokio::test]
async fn every_mistake_in_a_module_is_told_at_once() {
    let api = with_type().await;
    let body = json!({
        "id": "Small", "resource_type": "zebra", "module_source": "redis",
        "module_inputs": {"a": "${nope}", "1b": 1},
        "module_params": {"a": {"type": "text"}}
    });
    let (status, answer) = api.post("/modules", body).await;
    assert_eq!(status, 400);
    let places: Vec<&str> = answer["details"]["diagnostics"]
        .as_array()
        .expect("diagnostics")
        .iter()
        .map(|diagnostic| {
            diagnostic["places"][0]["pointer"]
                .as_str()
                .expect("pointer")
        })
        .collect();
    assert_eq!(
        places,
        [
            "/id",
            "/module_params/a/type",
            "/module_source",
            "/module_inputs/a",
            "/module_inputs/1b",
            "/module_inputs/a",
            ""
        ]
    );
}

pub(crate) async fn module_field_mistakes_are_told_in_the_words_of_v1() {
    let api = with_type().await;
    let with = |extra: Value| {
        let mut body = json!({"id": "small", "resource_type": "db", "module_source": "/x"});
        for (key, value) in extra.as_object().expect("an object") {
            body[key] = value.clone();
        }
        body
    };
    for (body, message, pointer) in [
        (
            with(json!({"module_inputs": {"x": 1}, "module_params": {"x": {"type": "any"}}})),
            "/module_inputs: module inputs and module parameters cannot have the same key: x",
            "/module_inputs/x",
        ),
        (
            with(json!({"module_inputs": {"1": 1}})),
            "/module_inputs: module inputs: '1' is not a valid identifier",
            "/module_inputs/1",
        ),
        (
            with(json!({"module_params": {"a.b": {"type": "any"}}})),
            "/module_params: module parameters: 'a.b' is not a valid identifier",
            "/module_params/a.b",
        ),
        (
            with(json!({"module_inputs": {"x": "${var.A}"}})),
            "invalid configuration: x: 'var' placeholders are not supported here",
            "/module_inputs/x",
        ),
        (
            with(json!({"module_source": "github.com/o/r"})),
            "/module_source: ",
            "/module_source",
        ),
        (
            with(json!({"module_source": "inline"})),
            "/module_source: ",
            "/module_source",
        ),
        (
            with(json!({"module_source_code": ""})),
            "/module_source: ",
            "/module_source",
        ),
        (
            with(json!({"module_source": "inline", "module_source_code": " ".repeat(10_001)})),
            "/module_source: inline module source code is limited to 10000 characters, ",
            "/module_source",
        ),
    ] {
        assert_refused(&api.post("/modules", body).await, 400, message, &[pointer]);
    }
}

pub(crate) async fn inline_code_is_echoed_to_the_byte() {
    let api = with_type().await;
    for (position, length) in [0, 2, 2000, 10_000].into_iter().enumerate() {
        let code = " ".repeat(length);
        let id = format!("m{position}");
        let body = json!({"id": id, "resource_type": "db", "module_source": "inline", "module_source_code": code});
        let made = api.make("/modules", body).await;
        assert_eq!(made["module_source_code"], json!(code));
        assert_eq!(api.get(&format!("/modules/{id}")).await, (200, made));
    }
    let (_, page) = api.get("/modules?per_page=1").await;
    assert_eq!(page["items"][0]["module_source"], json!("inline"));
}

pub(crate) async fn a_change_makes_a_version_and_an_empty_one_does_not() {
    let api = with_type().await;
    let first = api
        .make("/modules", json!({"id": "small", "resource_type": "db", "module_source": "inline", "module_source_code": "# 1"}))
        .await;
    assert_eq!(
        api.patch("/modules/small", json!({})).await,
        (200, first.clone())
    );
    let (status, second) = api
        .patch("/modules/small", json!({"module_inputs": {"size": 2}}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(second["module_inputs"], json!({"size": 2}));
    assert_eq!(second["module_source_code"], json!("# 1"));
    assert_eq!(second["created_at"], first["created_at"]);
    assert_ne!(second["updated_at"], first["updated_at"]);
    assert_ne!(second["version_id"], first["version_id"]);
    let remote = json!({"module_source": "/modules/db", "description": "Now in the image"});
    let (_, third) = api.patch("/modules/small", remote).await;
    assert_eq!(third.get("module_source_code"), None);
    assert_eq!(third["module_inputs"], json!({"size": 2}));

    let versions = api.listed("/modules/small/versions", "version_id").await;
    let expected = [&third, &second, &first]
        .map(|module| module["version_id"].as_str().expect("id").to_owned());
    assert_eq!(versions, expected);
    let (_, page) = api.get("/modules/small/versions?per_page=2").await;
    let token = page["next_page_token"].as_str().expect("a token");
    let rest = api
        .listed(
            &format!("/modules/small/versions?per_page=2&page={token}"),
            "version_id",
        )
        .await;
    assert_eq!(rest, expected[2..]);

    let (_, version) = api
        .get(&format!("/modules/small/versions/{}", expected[1]))
        .await;
    assert_eq!(version["created_at"], second["updated_at"]);
    assert_eq!(
        masked(&version),
        json!({
            "version_id": "UUID", "resource_type": "db", "module_source": "inline", "module_source_code": "# 1",
            "module_params": {}, "module_inputs": {"size": 2}, "provider_mapping": {}, "dependencies": {},
            "coprovisioned": [], "created_at": "TIME"
        })
    );
    assert_eq!(
        api.get("/modules/small/versions/00000000-0000-7000-8000-000000000000")
            .await,
        refusal(404, "definition version not found")
    );
    assert_refused(
        &api.patch("/modules/small", json!({"module_source_code": "x"}))
            .await,
        400,
        "/module_source_code: cannot be set without module_source",
        &["/module_source_code"],
    );
    assert_refused(
        &api.patch(
            "/modules/small",
            json!({"dependencies": {"a": {"type": "zz"}}}),
        )
        .await,
        409,
        "the following types referenced by the module do not exist as builtin or custom types: [zz]",
        &[""],
    );
}

#[tokio::test]
async fn changing_the_owner_of_a_module_makes_no_version() {
    let api = with_type().await;
    let made = api
        .make(
            "/modules",
            json!({"id": "small", "resource_type": "db", "module_source": "/x"}),
        )
        .await;
    let (_, owned) = api
        .patch("/modules/small", json!({"windlass": {"owner": "team"}}))
        .await;
    assert_eq!(owned["version_id"], made["version_id"]);
    assert_eq!(owned["windlass"], json!({"owner": "team"}));
    let (_, later) = api
        .patch("/modules/small", json!({"description": "x"}))
        .await;
    assert_ne!(later["version_id"], made["version_id"]);
    assert_eq!(later["windlass"], json!({"owner": "team"}));
}

pub(crate) async fn dependencies_and_coprovisioned_resources_come_back_as_given() {
    let api = with_type().await;
    let body = json!({
        "id": "small", "resource_type": "db", "module_source": "/x",
        "module_params": {"size": {"type": "number", "is_optional": true, "description": "GiB"}},
        "dependencies": {"net": {"type": "db", "class": "large", "id": "shared.net", "params": {"a": [1, null]}},
                         "bare": {"type": "db", "params": {}}},
        "coprovisioned": [{"type": "db", "is_dependent_on_current": true, "copy_dependents_from_current": true},
                          {"type": "db", "is_dependent_on_current": false}]
    });
    let made = api.make("/modules", body.clone()).await;
    assert_eq!(made["module_params"], body["module_params"]);
    assert_eq!(made["dependencies"]["net"], body["dependencies"]["net"]);
    assert_eq!(made["dependencies"]["bare"], json!({"type": "db"}));
    assert_eq!(made["coprovisioned"][0], body["coprovisioned"][0]);
    assert_eq!(made["coprovisioned"][1], json!({"type": "db"}));
    let (_, patched) = api
        .patch(
            "/modules/small",
            json!({"coprovisioned": [], "dependencies": {}}),
        )
        .await;
    assert_eq!(
        (&patched["coprovisioned"], &patched["dependencies"]),
        (&json!([]), &json!({}))
    );
    assert_eq!(patched["module_params"], body["module_params"]);
}

pub(crate) async fn what_a_current_version_uses_stays() {
    let api = with_type().await;
    api.make("/module-providers", provider("aws", "default"))
        .await;
    let body = json!({
        "id": "small", "resource_type": "db", "module_source": "/x", "provider_mapping": {"aws": "aws.default"}
    });
    api.make("/modules", body).await;
    assert_eq!(
        api.delete("/module-providers/aws/default").await,
        refusal(409, "module versions are still using this provider: small")
    );
    assert_eq!(
        api.delete("/resource-types/db").await,
        refusal(409, "modules are still using this resource type")
    );
    let (status, _) = api
        .patch("/modules/small", json!({"provider_mapping": {}}))
        .await;
    assert_eq!(status, 200);
    assert_eq!(api.delete("/module-providers/aws/default").await.0, 204);
    assert_eq!(api.delete("/modules/small").await.0, 204);
    assert_eq!(api.delete("/resource-types/db").await.0, 204);
}

#[tokio::test]
async fn a_source_that_cannot_be_reached_is_stored_with_a_warning() {
    let api = with_type().await;
    let source = "git::https://127.0.0.1:9/o/r?ref=v1";
    let body = json!({"id": "small", "resource_type": "db", "module_source": source});
    let made = api.make("/modules", body).await;
    assert_eq!(
        made["windlass"]["warnings"][0]["severity"],
        json!("warning")
    );
    let (_, read) = api.get("/modules/small").await;
    assert_eq!(read.get("windlass"), None);
}

#[tokio::test]
async fn a_directory_must_be_uploaded_before_a_module_names_it() {
    let api = with_type().await;
    let source = format!("dir::sha256:{}", "a".repeat(64));
    let body = json!({"id": "small", "resource_type": "db", "module_source": source});
    assert_refused(
        &api.post("/modules", body).await,
        400,
        "",
        &["/module_source"],
    );
}

pub(crate) async fn a_module_rule_takes_its_type_from_the_module_and_leaves_out_what_is_not_set() {
    let api = with_type().await;
    api.make(
        "/modules",
        json!({"id": "small", "resource_type": "db", "module_source": "/x"}),
    )
    .await;
    let made = api
        .make("/module-rules", json!({"module_id": "small"}))
        .await;
    assert_eq!(
        masked(&made),
        json!({"id": "UUID", "org_id": "default", "module_id": "small", "resource_type": "db",
               "resource_class": "default", "created_at": "TIME"})
    );
    let id = made["id"].as_str().expect("id");
    assert_eq!(
        api.get(&format!("/module-rules/{id}")).await,
        (200, made.clone())
    );
    api.make(
        "/modules",
        json!({"id": "large", "resource_type": "db", "module_source": "/x"}),
    )
    .await;
    assert_eq!(
        api.post("/module-rules", json!({"module_id": "large"}))
            .await,
        refusal(
            409,
            &format!("rule conflicts with existing rule '{id}' for definition 'small'")
        )
    );
    for scope in [
        json!({"module_id": "large", "resource_class": "big"}),
        json!({"module_id": "large", "resource_id": "shared.db"}),
        json!({"module_id": "large", "project_id": "shop"}),
        json!({"module_id": "large", "project_id": "shop", "env_id": "test"}),
    ] {
        api.make("/module-rules", scope).await;
    }
    for (query, count) in [
        ("byResourceType=db", 5),
        ("byModuleId=small", 1),
        ("byProjectId=shop", 2),
        ("byProjectId=shop&byEnvId=test", 1),
    ] {
        assert_eq!(
            api.listed(&format!("/module-rules?{query}"), "id")
                .await
                .len(),
            count,
            "{query}"
        );
    }
    let (status, body) = api.get("/module-rules?byEnvId=test").await;
    assert_eq!(
        (status, &body["message"]),
        (
            400,
            &json!("by_env_id: must be used together with by_project_id")
        )
    );
    assert_eq!(api.delete("/modules/large").await.0, 204);
    assert_eq!(api.listed("/module-rules", "id").await, [id]);
    assert_eq!(api.delete(&format!("/module-rules/{id}")).await.0, 204);
    assert_eq!(
        api.get(&format!("/module-rules/{id}")).await,
        refusal(404, "module rule not found")
    );
}

#[tokio::test]
async fn module_rule_mistakes_are_told_in_the_words_of_v1() {
    let api = with_type().await;
    api.make(
        "/modules",
        json!({"id": "small", "resource_type": "db", "module_source": "/x"}),
    )
    .await;
    for (body, message, pointer) in [
        (
            json!({"module_id": "none"}),
            "module not found",
            "/module_id",
        ),
        (
            json!({"module_id": "small", "env_id": "test"}),
            "project_id: must be set when env_id is set",
            "/project_id",
        ),
        (
            json!({"module_id": "small", "env_id": "test", "project_id": "shop", "env_type_id": "dev"}),
            "env_type_id: must not be set when env_id is set",
            "/env_type_id",
        ),
        (
            json!({"module_id": "small", "resource_class": "a_b"}),
            "resource class must be a valid identifier of alphanumerics and hyphens",
            "/resource_class",
        ),
    ] {
        assert_refused(
            &api.post("/module-rules", body).await,
            400,
            message,
            &[pointer],
        );
    }
    assert_eq!(
        api.post(
            "/module-rules",
            json!({"module_id": "small", "env_type_id": "none"})
        )
        .await,
        refusal(409, "environment type not found")
    );
}

#[tokio::test]
async fn inline_code_that_is_no_hcl_is_refused_with_its_line() {
    let api = with_type().await;
    let body = json!({
        "id": "small", "resource_type": "db", "module_source": "inline",
        "module_source_code": "variable \"a\" {}\noutput \"b\" {\n  value = \n}\n"
    });
    assert_refused(
        &api.post("/modules", body).await,
        400,
        "/module_source: inline module source code is not valid: ",
        &["/module_source_code"],
    );
}

#[tokio::test]
async fn what_the_code_does_not_bear_out_is_a_warning() {
    let api = Api::new().await;
    let schema = json!({"type": "object", "required": ["host"]});
    api.make(
        "/resource-types",
        json!({"id": "db", "output_schema": schema}),
    )
    .await;
    let body = json!({
        "id": "small", "resource_type": "db", "module_source": "inline",
        "module_source_code": "variable \"size\" {}\nvariable \"name\" {}\n",
        "module_inputs": {"sise": 1},
        "module_params": {"name": {"type": "string", "is_optional": true}}
    });
    let made = api.make("/modules", body).await;
    let warnings: Vec<(&str, &str)> = made["windlass"]["warnings"]
        .as_array()
        .expect("warnings")
        .iter()
        .map(|warning| {
            (
                warning["summary"].as_str().expect("a summary"),
                warning["places"][0]["pointer"].as_str().expect("a pointer"),
            )
        })
        .collect();
    assert_eq!(
        warnings,
        [
            ("Unknown variable", "/module_inputs/sise"),
            ("Variable without a value", "/module_params/name"),
            ("Variable without a value", "/module_params"),
            ("Missing output", "/module_source"),
        ]
    );
}

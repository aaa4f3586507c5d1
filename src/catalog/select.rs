//! Which module serves what in one environment: scope and specificity, then class and id.

use std::collections::BTreeMap;
use std::sync::Arc;

use super::{Module, Provider, ResourceType, Rule, Selection, Why};
use crate::model::{Context, ResourceKey};

/// What one environment sees of the catalogue.
#[derive(Debug, Clone, Default)]
pub(crate) struct Catalogue {
    types: BTreeMap<String, ResourceType>,
    providers: BTreeMap<String, Arc<Provider>>,
    slots: BTreeMap<String, BTreeMap<String, Bucket>>,
    pinned: BTreeMap<ResourceKey, Selection>,
    is_pinned: bool,
}

/// The winners for one type and class.
#[derive(Debug, Clone, Default)]
struct Bucket {
    any: Option<Slot>,
    by_id: BTreeMap<String, Slot>,
}

/// The outcome for one type, class and id (or no id).
#[derive(Debug, Clone)]
enum Slot {
    Winner(Selection),
    /// Rules that nothing ranks, in words.
    Tie(Vec<String>),
    /// The rule names a module that is not in the catalogue.
    NoModule {
        rule: String,
        module: String,
    },
}

/// Why no module serves a resource.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Miss {
    /// No rule for this type applies in the environment.
    Type {
        /// Whether the type itself is known.
        is_known: bool,
        /// Types that can be had here.
        available: Vec<String>,
    },
    /// The type has no rule for this class.
    Class {
        /// Classes that can be had here.
        available: Vec<String>,
    },
    /// The class has rules for certain ids only.
    Id {
        /// Those ids.
        available: Vec<String>,
    },
    /// Several rules are equally specific.
    Tie {
        /// The rules in words.
        rules: Vec<String>,
    },
    /// The rule's module is missing.
    Module {
        /// The rule in words.
        rule: String,
        /// The module.
        module: String,
    },
    /// An earlier deployment's slice of the catalogue does not hold this resource.
    Pin,
}

impl Catalogue {
    /// Picks what applies in the environment of `context`. For each type, class and id the most
    /// specific rule wins: environment before project before environment type before everywhere.
    pub(crate) fn select(
        context: &Context,
        types: Vec<ResourceType>,
        modules: Vec<Module>,
        rules: Vec<Rule>,
        providers: Vec<Provider>,
    ) -> Self {
        let modules: BTreeMap<String, Arc<Module>> = modules
            .into_iter()
            .map(|module| (module.id.clone(), Arc::new(module)))
            .collect();
        let mut candidates: BTreeMap<(String, String, Option<String>), Vec<Rule>> = BTreeMap::new();
        for rule in rules.into_iter().filter(|rule| applies(rule, context)) {
            let type_name = modules.get(&rule.module_id).map_or_else(
                || rule.resource_type.clone(),
                |module| module.resource_type.clone(),
            );
            candidates
                .entry((
                    type_name,
                    rule.resource_class.clone(),
                    rule.resource_id.clone(),
                ))
                .or_default()
                .push(rule);
        }
        let mut slots: BTreeMap<String, BTreeMap<String, Bucket>> = BTreeMap::new();
        for ((type_name, class, id), mut rules) in candidates {
            rules.sort_by(|a, b| {
                weight(b)
                    .cmp(&weight(a))
                    .then_with(|| a.module_id.cmp(&b.module_id))
                    .then_with(|| a.id.cmp(&b.id))
            });
            let best = weight(&rules[0]);
            let tied = rules.iter().filter(|rule| weight(rule) == best).count();
            let slot = if tied > 1 {
                Slot::Tie(rules[..tied].iter().map(in_words).collect())
            } else {
                match modules.get(&rules[0].module_id) {
                    Some(module) => Slot::Winner(Selection {
                        module: Arc::clone(module),
                        why: Arc::new(Why {
                            rule_id: rules[0].id.clone(),
                            scope: scope(&rules[0]),
                            lost: rules[1..].iter().map(in_words).collect(),
                        }),
                    }),
                    None => Slot::NoModule {
                        rule: in_words(&rules[0]),
                        module: rules[0].module_id.clone(),
                    },
                }
            };
            let bucket = slots
                .entry(type_name)
                .or_default()
                .entry(class)
                .or_default();
            match id {
                Some(id) => {
                    bucket.by_id.insert(id, slot);
                }
                None => bucket.any = Some(slot),
            }
        }
        Self {
            types: types.into_iter().map(|t| (t.id.clone(), t)).collect(),
            providers: by_full_id(providers),
            slots,
            pinned: BTreeMap::new(),
            is_pinned: false,
        }
    }

    /// The slice of an earlier deployment: every resource has the module it had; no rule counts.
    pub(crate) fn pinned(
        types: Vec<ResourceType>,
        modules: BTreeMap<ResourceKey, Selection>,
        providers: Vec<Provider>,
    ) -> Self {
        Self {
            types: types.into_iter().map(|t| (t.id.clone(), t)).collect(),
            providers: by_full_id(providers),
            slots: BTreeMap::new(),
            pinned: modules,
            is_pinned: true,
        }
    }

    /// The module for a resource: exact class, then exact id, else the rule without id.
    pub(crate) fn choose(&self, key: &ResourceKey) -> Result<&Selection, Miss> {
        if self.is_pinned {
            return self.pinned.get(key).ok_or(Miss::Pin);
        }
        let Some(classes) = self.slots.get(&key.type_name) else {
            return Err(Miss::Type {
                is_known: self.types.contains_key(&key.type_name),
                available: self.slots.keys().cloned().collect(),
            });
        };
        let Some(bucket) = classes.get(&key.class) else {
            return Err(Miss::Class {
                available: classes.keys().cloned().collect(),
            });
        };
        match bucket.by_id.get(&key.id).or(bucket.any.as_ref()) {
            Some(Slot::Winner(selection)) => Ok(selection),
            Some(Slot::Tie(rules)) => Err(Miss::Tie {
                rules: rules.clone(),
            }),
            Some(Slot::NoModule { rule, module }) => Err(Miss::Module {
                rule: rule.clone(),
                module: module.clone(),
            }),
            None => Err(Miss::Id {
                available: bucket.by_id.keys().cloned().collect(),
            }),
        }
    }

    /// A resource type by name.
    pub(crate) fn resource_type(&self, id: &str) -> Option<&ResourceType> {
        self.types.get(id)
    }

    /// A provider by `TYPE.ID`.
    pub(crate) fn provider(&self, full_id: &str) -> Option<&Arc<Provider>> {
        self.providers.get(full_id)
    }
}

fn by_full_id(providers: Vec<Provider>) -> BTreeMap<String, Arc<Provider>> {
    providers
        .into_iter()
        .map(|provider| (provider.full_id(), Arc::new(provider)))
        .collect()
}

fn applies(rule: &Rule, context: &Context) -> bool {
    let fits = |wanted: &Option<String>, is: &str| wanted.as_deref().is_none_or(|w| w == is);
    fits(&rule.project_id, &context.project_id)
        && fits(&rule.env_id, &context.env_id)
        && fits(&rule.env_type_id, &context.env_type_id)
}

/// How specific a rule is.
fn weight(rule: &Rule) -> u8 {
    u8::from(rule.env_id.is_some()) * 4
        + u8::from(rule.project_id.is_some()) * 2
        + u8::from(rule.env_type_id.is_some())
}

/// The scope of a rule for people.
fn scope(rule: &Rule) -> String {
    let mut words = Vec::new();
    if let Some(id) = &rule.project_id {
        words.push(format!("project {id}"));
    }
    if let Some(id) = &rule.env_id {
        words.push(format!("environment {id}"));
    }
    if let Some(id) = &rule.env_type_id {
        words.push(format!("environment type {id}"));
    }
    if words.is_empty() {
        "everywhere".into()
    } else {
        words.join(", ")
    }
}

fn in_words(rule: &Rule) -> String {
    let name = if rule.id.is_empty() {
        String::new()
    } else {
        format!(" (rule {})", rule.id)
    };
    format!("module {} for {}{name}", rule.module_id, scope(rule))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn context() -> Context {
        Context {
            org_id: "acme".into(),
            project_id: "shop".into(),
            env_id: "dev".into(),
            env_type_id: "development".into(),
            env_uuid: "11111111-2222-3333-4444-555555555555".into(),
        }
    }

    fn module(id: &str, resource_type: &str) -> Module {
        serde_json::from_value(serde_json::json!({
            "id": id, "version_id": "v1", "resource_type": resource_type, "module_source": "/m"
        }))
        .expect("a module")
    }

    fn rule(module: &str, more: serde_json::Value) -> Rule {
        let mut rule = serde_json::json!({"module_id": module, "id": format!("r-{module}")});
        for (key, value) in more.as_object().expect("a map") {
            rule[key] = value.clone();
        }
        serde_json::from_value(rule).expect("a rule")
    }

    fn catalogue(rules: Vec<Rule>) -> Catalogue {
        let modules = ["a", "b", "c", "d", "e", "f"].map(|id| module(id, "db"));
        Catalogue::select(&context(), vec![], modules.into(), rules, vec![])
    }

    fn chosen(catalogue: &Catalogue, class: &str, id: &str) -> Result<String, Miss> {
        let key = ResourceKey::new("db", class, id);
        catalogue.choose(&key).map(|found| found.module.id.clone())
    }

    #[test]
    fn the_most_specific_rule_wins_and_the_losers_are_kept() {
        use serde_json::json;
        let all = vec![
            rule("a", json!({})),
            rule("b", json!({"env_type_id": "development"})),
            rule("c", json!({"project_id": "shop"})),
            rule(
                "d",
                json!({"project_id": "shop", "env_type_id": "development"}),
            ),
            rule("e", json!({"project_id": "shop", "env_id": "dev"})),
            rule("f", json!({"project_id": "other", "env_id": "dev"})),
        ];
        for (take, winner) in [(1, "a"), (2, "b"), (3, "c"), (4, "d"), (6, "e")] {
            let catalogue = catalogue(all[..take].to_vec());
            assert_eq!(chosen(&catalogue, "default", "x").as_deref(), Ok(winner));
        }
        let catalogue = catalogue(all);
        let why = &catalogue
            .choose(&ResourceKey::new("db", "default", "x"))
            .expect("chosen")
            .why;
        assert_eq!(why.scope, "project shop, environment dev");
        assert_eq!(why.lost[3], "module a for everywhere (rule r-a)");
        assert_eq!(why.lost.len(), 4, "rules of other places are not losers");
    }

    #[test]
    fn class_is_exact_and_a_named_id_comes_before_the_rule_without_one() {
        use serde_json::json;
        let catalogue = catalogue(vec![
            rule("a", json!({})),
            rule("b", json!({"resource_id": "main"})),
            rule("c", json!({"resource_class": "big", "resource_id": "only"})),
        ]);
        assert_eq!(chosen(&catalogue, "default", "x").as_deref(), Ok("a"));
        assert_eq!(chosen(&catalogue, "default", "main").as_deref(), Ok("b"));
        assert_eq!(chosen(&catalogue, "big", "only").as_deref(), Ok("c"));
        assert_eq!(
            chosen(&catalogue, "big", "x"),
            Err(Miss::Id {
                available: vec!["only".into()]
            })
        );
        assert_eq!(
            chosen(&catalogue, "huge", "x"),
            Err(Miss::Class {
                available: vec!["big".into(), "default".into()]
            })
        );
        assert_eq!(
            catalogue.choose(&ResourceKey::new("dbb", "default", "x")),
            Err(Miss::Type {
                is_known: false,
                available: vec!["db".into()]
            })
        );
    }

    #[test]
    fn two_rules_of_one_rank_are_a_tie() {
        use serde_json::json;
        let catalogue = catalogue(vec![rule("a", json!({})), rule("b", json!({}))]);
        assert_eq!(
            chosen(&catalogue, "default", "x"),
            Err(Miss::Tie {
                rules: vec![
                    "module a for everywhere (rule r-a)".into(),
                    "module b for everywhere (rule r-b)".into()
                ]
            })
        );
    }
}

//! `limits` of `[jobs."ClassName"]`: rules whose keys and labels are templates over the job's arguments.

use std::fmt;
use std::time::Duration;

use goodjob_core::{Arguments, Limits, Rule};
use serde::Deserialize;
use serde_json::Value;

use super::problem::Problems;
use super::settings::Span;

/// A rule as written.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub(super) struct LimitSettings {
    key: Option<String>,
    label: Option<String>,
    total: Option<i64>,
    enqueue: Option<i64>,
    perform: Option<i64>,
    enqueue_throttle: Option<ThrottleSettings>,
    perform_throttle: Option<ThrottleSettings>,
    strict: bool,
}

/// So many within a while, as written.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
struct ThrottleSettings {
    count: i64,
    per: Span,
}

/// The rules of a class, before the arguments of a job are known.
#[derive(Clone, Debug, Default)]
pub(crate) struct LimitTemplates(Vec<RuleTemplate>);

#[derive(Clone, Debug)]
struct RuleTemplate {
    scope: ScopeTemplate,
    total: Option<u32>,
    enqueue: Option<u32>,
    perform: Option<u32>,
    enqueue_throttle: Option<(u32, Duration)>,
    perform_throttle: Option<(u32, Duration)>,
    strict: bool,
}

#[derive(Clone, Debug)]
enum ScopeTemplate {
    Key(Template),
    Label(Template),
}

impl LimitTemplates {
    /// Checks what was written.
    pub(super) fn build(settings: &[LimitSettings], problems: &mut Problems) -> Self {
        let mut templates = Vec::new();
        let mut key: Option<&str> = None;
        for (n, rule) in settings.iter().enumerate() {
            match (key, &rule.key) {
                (Some(first), Some(second)) if first != second => problems.add(
                    &format!("limits[{n}].key"),
                    format_args!(
                        "found {second:?} beside {first:?}, expected one key; further rules go by label"
                    ),
                ),
                (None, Some(first)) => key = Some(first),
                _ => {}
            }
            templates.extend(rule.build(n, problems));
        }
        Self(templates)
    }

    /// The rules for a job with these arguments.
    pub(crate) fn of(&self, arguments: &Arguments) -> Result<Limits, TemplateError> {
        let (args, kwargs) = arguments.split();
        let fill = |template: &Template| {
            template.fill(|name| match name.parse::<usize>() {
                Ok(place) => args.get(place),
                Err(_) => kwargs.get(name),
            })
        };
        let rule = |template: &RuleTemplate| {
            let rule = match &template.scope {
                ScopeTemplate::Key(key) => Rule::by_key(fill(key)?),
                ScopeTemplate::Label(label) => Rule::by_label(fill(label)?),
            };
            Ok(template.bound(rule))
        };
        self.0.iter().map(rule).collect()
    }
}

impl RuleTemplate {
    fn bound(&self, mut rule: Rule) -> Rule {
        if let Some(most) = self.total {
            rule = rule.total(most);
        }
        if let Some(most) = self.enqueue {
            rule = rule.enqueue(most);
        }
        if let Some(most) = self.perform {
            rule = rule.perform(most);
        }
        if let Some((count, period)) = self.enqueue_throttle {
            rule = rule.enqueue_throttle(count, period);
        }
        if let Some((count, period)) = self.perform_throttle {
            rule = rule.perform_throttle(count, period);
        }
        if self.strict { rule.strict() } else { rule }
    }
}

impl LimitSettings {
    fn build(&self, n: usize, problems: &mut Problems) -> Option<RuleTemplate> {
        let scope = self.scope(n, problems);
        let mut limit = |name: &str, most: Option<i64>| {
            let most = most?;
            let fit = u32::try_from(most).ok();
            if fit.is_none() {
                const EXPECTED: &str = "a whole number from 0 on";
                let key = format!("limits[{n}].{name}");
                problems.add(&key, format_args!("found {most}, expected {EXPECTED}"));
            }
            fit
        };
        let (total, enqueue) = (limit("total", self.total), limit("enqueue", self.enqueue));
        let perform = limit("perform", self.perform);
        let mut throttle = |name: &str, throttle: &Option<ThrottleSettings>| {
            let throttle = throttle.as_ref()?;
            let count = u32::try_from(throttle.count).ok().filter(|count| *count > 0);
            if count.is_none() {
                let key = format!("limits[{n}].{name}.count");
                problems.add(&key, format_args!("found {}, expected 1 or more", throttle.count));
            }
            let period = throttle.per.duration().filter(|period| !period.is_zero());
            if period.is_none() {
                const EXPECTED: &str =
                    "seconds or a text such as \"1m\" (more than 0, up to a year)";
                let key = format!("limits[{n}].{name}.per");
                problems.add(&key, format_args!("found {}, expected {EXPECTED}", throttle.per));
            }
            Some((count?, period?))
        };
        let enqueue_throttle = throttle("enqueue_throttle", &self.enqueue_throttle);
        let perform_throttle = throttle("perform_throttle", &self.perform_throttle);
        let strict = self.strict;
        Some(RuleTemplate {
            scope: scope?,
            total,
            enqueue,
            perform,
            enqueue_throttle,
            perform_throttle,
            strict,
        })
    }

    fn scope(&self, n: usize, problems: &mut Problems) -> Option<ScopeTemplate> {
        let mut read = |name: &str, text: &str| {
            let template = Template::parse(text);
            if let Err(problem) = &template {
                problems.add(&format!("limits[{n}].{name}"), problem);
            }
            template.ok()
        };
        match (&self.key, &self.label) {
            (Some(key), None) => read("key", key).map(ScopeTemplate::Key),
            (None, Some(label)) => read("label", label).map(ScopeTemplate::Label),
            (found, _) => {
                let found = if found.is_some() { "both" } else { "neither" };
                let problem = format_args!("found {found} key and label, expected one of them");
                problems.add(&format!("limits[{n}]"), problem);
                None
            }
        }
    }
}

/// A text with names of arguments in braces: `shop-{shop}`, `{0}`.
#[derive(Clone, Debug, PartialEq, Eq)]
struct Template(Vec<Part>);

#[derive(Clone, Debug, PartialEq, Eq)]
enum Part {
    Text(String),
    Argument(String),
}

/// An argument that no text can be made of.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
#[error(
    "limits: {{{name}}}: found {found}, expected an argument that is a text, a number or a boolean"
)]
pub(crate) struct TemplateError {
    name: String,
    found: &'static str,
}

impl Template {
    fn parse(text: &str) -> Result<Self, String> {
        if text.trim().is_empty() {
            return Err("found a blank text, expected one such as \"shop-{shop}\"".to_owned());
        }
        let (mut parts, mut rest) = (Vec::new(), text);
        while let Some(place) = rest.find(['{', '}']) {
            let (before, from) = rest.split_at(place);
            parts.push(Part::Text(before.to_owned()));
            rest = if let Some(after) = from.strip_prefix("{{") {
                parts.push(Part::Text("{".to_owned()));
                after
            } else if let Some(after) = from.strip_prefix("}}") {
                parts.push(Part::Text("}".to_owned()));
                after
            } else {
                let named = from.strip_prefix('{').and_then(|from| from.split_once('}'));
                let named = named.filter(|(name, _)| !name.is_empty() && !name.contains('{'));
                let Some((name, after)) = named else {
                    const EXPECTED: &str =
                        "an argument's name or position in braces, and {{ or }} for a brace";
                    return Err(format!("found {text:?}, expected {EXPECTED}"));
                };
                parts.push(Part::Argument(name.to_owned()));
                after
            };
        }
        parts.push(Part::Text(rest.to_owned()));
        Ok(Self(parts))
    }

    fn fill<'a>(
        &self,
        argument: impl Fn(&str) -> Option<&'a Value>,
    ) -> Result<String, TemplateError> {
        use fmt::Write as _;
        let mut filled = String::new();
        for part in &self.0 {
            let name = match part {
                Part::Text(text) => {
                    filled.push_str(text);
                    continue;
                }
                Part::Argument(name) => name,
            };
            let found = match argument(name) {
                Some(Value::String(text)) => {
                    filled.push_str(text);
                    continue;
                }
                Some(value @ (Value::Number(_) | Value::Bool(_))) => {
                    // Writing to a text does not fail.
                    let _ = write!(filled, "{value}");
                    continue;
                }
                None => "none",
                Some(Value::Null) => "null",
                Some(Value::Array(_)) => "a list",
                Some(Value::Object(_)) => "an object",
            };
            return Err(TemplateError { name: name.clone(), found });
        }
        Ok(filled)
    }
}

#[cfg(test)]
mod tests {
    use goodjob_core::Scope;
    use serde_json::json;

    use super::*;

    fn build(settings: Value) -> Result<LimitTemplates, Vec<String>> {
        let settings: Vec<LimitSettings> = serde_json::from_value(settings).unwrap();
        let mut problems = Problems::of("MailJob");
        let templates = LimitTemplates::build(&settings, &mut problems);
        problems.or(Some(templates)).map_err(|error| error.problems().to_vec())
    }

    #[test]
    fn keys_and_labels_are_made_of_arguments() {
        let templates = build(json!([
            {"key": "shop-{shop}/{n}", "perform": 1, "strict": true},
            {"label": "{{bank}} {ok}", "total": 3, "perform_throttle": {"count": 9, "per": "1m"}},
        ]))
        .unwrap();
        let keywords = json!({"shop": "a", "n": 7, "ok": true});
        let arguments = Arguments::keywords(keywords.as_object().unwrap().clone()).unwrap();
        let limits = templates.of(&arguments).unwrap();
        assert_eq!(limits.key(), Some("shop-a/7"));
        let [one, two] = limits.rules() else { panic!("{limits:?}") };
        assert!(one.is_strict() && one.running() == Some(1) && one.starting().is_none());
        assert_eq!(two.scope(), &Scope::Label("{bank} true".into()));
        assert_eq!((two.running(), two.starting().map(|t| t.count)), (Some(3), Some(9)));

        let by_place = build(json!([{"key": "k-{1}", "total": 1}])).unwrap();
        let positions = |values| Arguments::positional(values).unwrap();
        let limits = by_place.of(&positions(vec![json!(1), json!("b")])).unwrap();
        assert_eq!(limits.key(), Some("k-b"));
        let error = by_place.of(&positions(vec![json!(1), json!(null)])).unwrap_err();
        assert_eq!(
            error.to_string(),
            "limits: {1}: found null, expected an argument that is a text, a number or a boolean"
        );
        assert!(by_place.of(&positions(vec![])).unwrap_err().to_string().contains("found none"));
    }

    #[test]
    fn everything_that_is_wrong_is_told_at_once() {
        let problems = build(json!([
            {"key": "a", "label": "b"},
            {"total": 1},
            {"key": "a{", "total": -1, "enqueue": -2, "perform": -3},
            {"key": " ", "enqueue_throttle": {"count": 0, "per": 0}},
            {"label": "l", "perform_throttle": {"count": -1, "per": "soon"}},
        ]))
        .unwrap_err();
        assert_eq!(
            problems,
            [
                r#"jobs."MailJob".limits[0]: found both key and label, expected one of them"#,
                r#"jobs."MailJob".limits[1]: found neither key and label, expected one of them"#,
                r#"jobs."MailJob".limits[2].key: found "a{" beside "a", expected one key; further rules go by label"#,
                r#"jobs."MailJob".limits[2].key: found "a{", expected an argument's name or position in braces, and {{ or }} for a brace"#,
                r#"jobs."MailJob".limits[2].total: found -1, expected a whole number from 0 on"#,
                r#"jobs."MailJob".limits[2].enqueue: found -2, expected a whole number from 0 on"#,
                r#"jobs."MailJob".limits[2].perform: found -3, expected a whole number from 0 on"#,
                r#"jobs."MailJob".limits[3].key: found " " beside "a", expected one key; further rules go by label"#,
                r#"jobs."MailJob".limits[3].key: found a blank text, expected one such as "shop-{shop}""#,
                r#"jobs."MailJob".limits[3].enqueue_throttle.count: found 0, expected 1 or more"#,
                r#"jobs."MailJob".limits[3].enqueue_throttle.per: found 0, expected seconds or a text such as "1m" (more than 0, up to a year)"#,
                r#"jobs."MailJob".limits[4].perform_throttle.count: found -1, expected 1 or more"#,
                r#"jobs."MailJob".limits[4].perform_throttle.per: found "soon", expected seconds or a text such as "1m" (more than 0, up to a year)"#,
            ]
        );
    }
}

//! `goodjob doctor`: what would make a worker fail or jobs late.

use goodjob_postgres::doctor::{Finding, Level, examine};

use super::Workplace;
use crate::error::CliError;
use crate::output::table;

pub(super) async fn doctor(workplace: &Workplace) -> Result<(), CliError> {
    let findings = examine(&workplace.database()?).await;
    workplace.output().list(&findings, || table(["", "check", "found"], findings.iter().map(row)));
    match findings.iter().filter(|finding| finding.level == Level::Fail).count() {
        0 => Ok(()),
        1 => Err(CliError::Check("one check failed".to_owned())),
        n => Err(CliError::Check(format!("{n} checks failed"))),
    }
}

fn row(finding: &Finding) -> [String; 3] {
    let level = match finding.level {
        Level::Ok => "ok",
        Level::Warn => "warn",
        Level::Fail => "FAIL",
    };
    let remedy = finding.remedy.iter().map(|remedy| format!("\n-> {remedy}"));
    let found = remedy.fold(finding.message.clone(), |text, remedy| text + &remedy);
    [level.to_owned(), finding.check.to_owned(), found]
}

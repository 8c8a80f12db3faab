//! `goodjob jobs`: finds jobs, shows them, and acts on them.

mod act;
mod bulk;
mod list;
pub(super) mod show;
pub(super) mod words;

use goodjob_postgres::jobs::Action;

use super::Workplace;
use crate::args::JobsCommand;
use crate::error::CliError;
use act::Order;

pub(super) async fn jobs(command: JobsCommand, workplace: &Workplace) -> Result<(), CliError> {
    let order = match command {
        JobsCommand::List(args) => return list::list(&args, workplace).await,
        JobsCommand::Show { id } => return show::show(id, workplace).await,
        JobsCommand::Retry(choice) => Order { action: Action::Retry, force: false, choice },
        JobsCommand::Delete(choice) => Order { action: Action::Delete, force: false, choice },
        JobsCommand::Discard(args) => {
            let action = Action::Discard { reason: args.reason };
            Order { action, force: args.force, choice: args.choice }
        }
        JobsCommand::Reschedule(args) => {
            let action = Action::Reschedule(args.due());
            Order { action, force: false, choice: args.choice }
        }
    };
    act::act(&order, workplace).await
}

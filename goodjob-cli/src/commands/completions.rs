//! `goodjob completions` and `goodjob man`: made from the same definitions as `--help`.

use std::io;
use std::path::Path;

use clap::CommandFactory;
use clap_complete::Shell;

use crate::args::Cli;
use crate::error::CliError;

pub(super) fn completions(shell: Shell) {
    let mut text = Vec::new();
    clap_complete::generate(shell, &mut Cli::command(), "goodjob", &mut text);
    // Whoever reads it may have gone.
    let _ = io::Write::write_all(&mut io::stdout().lock(), &text);
}

pub(super) fn man(directory: &Path) -> Result<(), CliError> {
    clap_mangen::generate_to(Cli::command(), directory)
        .map_err(|error| CliError::Failed(format!("{}: {error}", directory.display())))
}

//! What to type when no Postgres is installed, on the system that this is.

use std::fs;

use super::environment::Environment;

/// How systems name themselves in `/etc/os-release`, and how they install a server.
const INSTALLERS: [(&[&str], &str); 6] = [
    (&["debian", "ubuntu"], "apt-get install -y postgresql"),
    (&["fedora", "rhel", "centos", "amzn"], "dnf install -y postgresql-server"),
    (&["alpine"], "apk add --no-cache postgresql"),
    (&["arch"], "pacman -S --noconfirm postgresql"),
    (&["suse", "opensuse"], "zypper --non-interactive install postgresql-server"),
    (&["nixos"], "nix-shell -p postgresql"),
];

pub(super) fn for_system(environment: &Environment) -> String {
    let release = fs::read_to_string(environment.system("etc/os-release")).unwrap_or_default();
    let install = if cfg!(target_os = "macos") {
        "brew install postgresql"
    } else {
        installer(&release).unwrap_or("install the postgresql server with the system's packages")
    };
    format!(
        "to fix it: {install}\n\
         or set GOOD_JOB_PG_BIN to a directory with initdb and postgres,\n\
         or set GOOD_JOB_DATABASE_URL to a database that may be filled with tests,\n\
         or run one: docker run --rm -p 5432:5432 -e POSTGRES_HOST_AUTH_METHOD=trust postgres"
    )
}

fn installer(release: &str) -> Option<&'static str> {
    let value = |key: &str| {
        let line = release.lines().find_map(|line| line.strip_prefix(key)?.strip_prefix('='))?;
        Some(line.trim_matches(['"', '\'']))
    };
    let id = value("ID");
    let names = id.into_iter().chain(value("ID_LIKE").into_iter().flat_map(str::split_whitespace));
    names.into_iter().find_map(|name| {
        let known = |id: &&str| name == *id || name.starts_with(&format!("{id}-"));
        INSTALLERS.iter().find(|(ids, _)| ids.iter().any(known)).map(|(_, command)| *command)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_installer_is_that_of_the_system_or_of_the_one_it_is_like() {
        assert!(installer("ID=debian\n").is_some_and(|command| command.starts_with("apt-get")));
        let rocky = "NAME=Rocky\nID=\"rocky\"\nID_LIKE=\"rhel centos fedora\"\n";
        assert!(installer(rocky).is_some_and(|command| command.starts_with("dnf")));
        let leap = "ID=\"opensuse-leap\"\nID_LIKE=\"suse opensuse\"\n";
        assert!(installer(leap).is_some_and(|command| command.starts_with("zypper")));
        assert_eq!(installer("ID=plan9\n"), None);
    }
}

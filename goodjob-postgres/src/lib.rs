//! goodjob on Postgres: the tables of the GoodJob gem, the lock protocol, LISTEN and NOTIFY.

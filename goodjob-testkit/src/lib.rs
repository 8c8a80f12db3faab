//! A throwaway Postgres, a conformance suite and a harness for testing goodjob.

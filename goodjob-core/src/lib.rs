//! The engine of goodjob without a database: jobs, queues, the store protocol, the scheduler.

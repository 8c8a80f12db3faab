//! The advisory key that the gem and we agree on.

use md5::{Digest, Md5};

/// The 64-bit key of a name: the first 8 bytes of its MD5, big-endian (wire contract 3.1). For a job
/// the name is `good_jobs-<id>`.
///
/// ```
/// let name = "good_jobs-11111111-2222-4333-8444-555555555555";
/// assert_eq!(goodjob_postgres::advisory_key(name), -7887181863223987388);
/// ```
#[must_use]
pub fn advisory_key(name: &str) -> i64 {
    let digest = Md5::digest(name.as_bytes());
    let mut first = [0; 8];
    first.copy_from_slice(&digest[..8]);
    i64::from_be_bytes(first)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_contracts_vectors_come_out() {
        for (name, key) in [
            ("good_jobs-11111111-2222-4333-8444-555555555555", -7_887_181_863_223_987_388),
            ("good_jobs-00000000-0000-0000-0000-000000000000", -4_382_913_656_327_369_084),
            ("good_job_processes-11111111-2222-4333-8444-555555555555", -6_828_645_363_532_250_381),
            ("good_job_batches-11111111-2222-4333-8444-555555555555", 5_788_827_652_182_034_887),
            ("conc-k", 5_712_120_192_860_237_563),
            ("label:u1", -3_705_238_772_093_220_538),
            ("MyJob", 6_691_429_731_455_185_099),
        ] {
            assert_eq!(advisory_key(name), key, "{name}");
        }
    }
}

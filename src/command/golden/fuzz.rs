//! Random commands against `redis-server`.

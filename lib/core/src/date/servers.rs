//! Several time servers: when each is asked, and whom to believe.

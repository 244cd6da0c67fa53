//! Floor 5: device choice, plans, sessions.

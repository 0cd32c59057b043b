"""Results for others: archives that carry everything a report needs, and records joined."""

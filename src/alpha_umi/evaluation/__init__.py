"""Static evaluation: teacher-forced predictions of single steps, and their scores against reference steps."""

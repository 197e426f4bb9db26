"""Mirror every evaluation item once, with an id that stays."""

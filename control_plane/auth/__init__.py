"""The ways in: first run, login, invitation; and who is asking ever after: sessions, CSRF tokens, admin keys."""

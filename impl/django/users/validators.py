"""What a user may be, also in the admin."""

from django.core.exceptions import ValidationError
from django.core.validators import RegexValidator

EMAIL = r"[A-Za-z0-9._%+-]{1,64}@[A-Za-z0-9-]{1,63}(\.[A-Za-z0-9-]{1,63})+"
NAME = r"[^\x00-\x1f\x7f]*"
MIN_PASSWORD, MAX_PASSWORD = 8, 128

validate_email = RegexValidator(rf"\A{EMAIL}\Z", "Enter an e-mail address.")
validate_name = RegexValidator(rf"\A{NAME}\Z", "Control characters are not allowed.")


class PasswordLengthValidator:
    """The contract's bounds, for passwords that are set in the admin or on the command line."""

    def validate(self, password: str, user: object = None) -> None:
        """Raise ValidationError for a password that is too short or too long."""
        if not MIN_PASSWORD <= len(password) <= MAX_PASSWORD:
            raise ValidationError(self.get_help_text())

    def get_help_text(self) -> str:
        """Return what the form says."""
        return f"The password has {MIN_PASSWORD} to {MAX_PASSWORD} characters."

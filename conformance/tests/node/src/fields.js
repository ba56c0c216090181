// Values of header fields. String.prototype.trim would take more than the field's white space.

/** Return a value without the spaces and tabs around it (RFC 9110, section 5.5). */
export const trimmed = (value) => value.replace(/^[ \t]+|[ \t]+$/g, '');

/** Return the elements of a list, trimmed. */
export const listOf = (field = '') => field.split(',').map(trimmed);

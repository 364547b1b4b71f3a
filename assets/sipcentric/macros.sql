-- What calls and messages share in reading Sipcentric's fields.

-- A response with its costs as text: DuckDB hands a JSON number on as a double, and every digit is to arrive.
CREATE OR REPLACE TEMP MACRO costs_as_text(body) AS
    regexp_replace(body, '("cost"[ \t\r\n]*:[ \t\r\n]*)(-?[0-9][0-9.eE+-]*)', '\1"\2"', 'g');

-- Both timestamp styles say their offset; a time without one is UTC, as the session is.
CREATE OR REPLACE TEMP MACRO instant_of(text) AS
    CASE WHEN text LIKE '____-__-__T%' THEN try_cast(text AS TIMESTAMPTZ) END;

-- A word of the vendor's by its letters alone: NO_ANSWER, no answer and NoAnswer are one.
CREATE OR REPLACE TEMP MACRO letters_of(text) AS
    regexp_replace(upper(coalesce(text, '')), '[^A-Z]', '', 'g');

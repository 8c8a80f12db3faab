-- Whether a schema is there.
SELECT to_regnamespace(quote_ident($1::text)) IS NOT NULL AS is_there;

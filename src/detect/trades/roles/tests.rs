use super::*;

fn table(name: &str, columns: &[(&str, &str)]) -> Table {
    let column = |(name, data_type): &(&str, &str)| Column {
        name: (*name).into(),
        data_type: (*data_type).into(),
        nullable: true,
        primary_key: *name == "id",
        generated: false,
    };
    Table {
        name: TableName { schema: "public".into(), name: name.into() },
        columns: columns.iter().map(column).collect(),
    }
}

fn map_with(tables: &[Table], relations: &Relations, overrides: &RoleOverrides) -> Result<SchemaMapping, String> {
    map_schema(Catalog { tables, relations, overrides }, None, "Trade")
}

fn map(tables: &[Table]) -> SchemaMapping {
    map_with(tables, &Relations::default(), &RoleOverrides::default()).unwrap()
}

/// Roles and columns as `role=column`.
fn roles(mapping: &Mapping) -> Vec<String> {
    mapping.roles.iter().map(|mapped| format!("{}={}", mapped.role.name(), mapped.column)).collect()
}

#[track_caller]
fn full(name: &str, columns: &[(&str, &str)], expected: &[&str]) {
    let mapping = map(&[table(name, columns)]).trades;
    let found = roles(&mapping);
    for one in expected {
        assert!(found.contains(&(*one).to_owned()), "{one} is not in {found:?}");
    }
    assert_eq!(mapping.unmapped, Vec::<String>::new(), "{found:?}");
}

const TIME: &str = "timestamp(3) without time zone";

#[test]
// A table of what each shape must give.
#[allow(clippy::too_many_lines)]
fn the_six_shapes_map_fully() {
    full(
        "Trade",
        &[
            ("id", "text"),
            ("symbol", "text"),
            ("side", "text"),
            ("quantity", "numeric(18,8)"),
            ("price", "numeric(18,8)"),
            ("createdAt", TIME),
        ],
        &["created_at=createdAt"],
    );
    full(
        "trades",
        &[
            ("id", "text"),
            ("user_id", "text"),
            ("portfolio_id", "text"),
            ("symbol", "text"),
            ("type", "\"tradetype\""),
            ("quantity", "numeric(15,8)"),
            ("price", "numeric(15,2)"),
            ("fees", "numeric(15,2)"),
            ("total_value", "numeric(15,2)"),
            ("executed_at", TIME),
            ("notes", "text"),
            ("created_at", TIME),
        ],
        &[
            "account=user_id",
            "side=type",
            "fee=fees",
            "value=total_value",
            "executed_at=executed_at",
            "portfolio=portfolio_id",
            "note=notes",
        ],
    );
    full(
        "Trade",
        &[
            ("id", "uuid"),
            ("accountId", "uuid"),
            ("userId", "uuid"),
            ("externalRef", "text"),
            ("pair", "text"),
            ("direction", "text"),
            ("entryPrice", "numeric(18,6)"),
            ("stopLoss", "numeric(18,6)"),
            ("takeProfit", "numeric(18,6)"),
            ("lotSize", "numeric(12,4)"),
            ("riskAmount", "numeric(18,4)"),
            ("status", "text"),
            ("pnl", "numeric(18,4)"),
            ("openedAt", TIME),
            ("closedAt", TIME),
            ("createdAt", TIME),
            ("updatedAt", TIME),
        ],
        &[
            "account=accountId",
            "user=userId",
            "instrument=pair",
            "price=entryPrice",
            "quantity=lotSize",
            "executed_at=openedAt",
            // The exchange's name of the trade is no order.
            "external_ref=externalRef",
        ],
    );
    full(
        "Trade",
        &[
            ("id", "bigint"),
            ("symbol", "text"),
            ("buyerOrderId", "bigint"),
            ("sellerOrderId", "bigint"),
            ("buyerUserId", "bigint"),
            ("sellerUserId", "bigint"),
            ("quantity", "numeric(28,12)"),
            ("price", "numeric(28,12)"),
            ("buyerFee", "numeric(28,12)"),
            ("sellerFee", "numeric(28,12)"),
            ("createdAt", TIME),
        ],
        &[
            "account=buyerUserId",
            "counterparty=sellerUserId",
            "order=buyerOrderId",
            "counter_order=sellerOrderId",
            "fee=buyerFee",
        ],
    );
    full(
        "Trade",
        &[
            ("id", "text"),
            ("modelId", "text"),
            ("ticker", "text"),
            ("action", "text"),
            ("shares", "integer"),
            ("price", "numeric(65,30)"),
            ("totalValue", "numeric(65,30)"),
            ("status", "text"),
            ("brokerOrderId", "text"),
            ("createdAt", TIME),
            ("executedAt", TIME),
        ],
        &["account=modelId", "quantity=shares", "order=brokerOrderId", "side=action", "value=totalValue"],
    );
    full(
        "Trade",
        &[
            ("id", "bigint"),
            ("userId", "uuid"),
            ("symbol", "text"),
            ("side", "text"),
            ("qty", "numeric"),
            ("priceBrl", "numeric"),
            ("feeBrl", "numeric"),
            ("ts", TIME),
        ],
        &["price=priceBrl", "fee=feeBrl", "executed_at=ts", "account=userId"],
    );
}

#[test]
fn foreign_keys_and_labels_say_what_names_do_not() {
    let tables = [
        table(
            "executions",
            &[
                ("id", "uuid"),
                ("placed_for", "uuid"),
                ("via", "uuid"),
                ("what", "uuid"),
                ("kind", "\"bs\""),
                ("phase", "\"ph\""),
                ("filled_quantity", "numeric"),
                ("execution_px", "double precision"),
                ("executed_time", "timestamp with time zone"),
                ("remote_addr", "inet"),
            ],
        ),
        table("brokerage_accounts", &[("id", "uuid"), ("max_order_value", "numeric"), ("frozen_at", TIME)]),
        table(
            "api_credentials",
            &[
                ("id", "uuid"),
                ("owner_id", "uuid"),
                ("permissions", "text[]"),
                ("expires_at", TIME),
                ("revoked_at", TIME),
            ],
        ),
        table("instruments", &[("id", "uuid")]),
    ];
    let name = |name: &str| TableName { schema: "public".into(), name: name.into() };
    let executions = name("executions");
    let key = |column: &str, target: &str| (executions.clone(), column.to_owned(), name(target));
    let labels = |column: &str, labels: &[&str]| {
        (executions.clone(), column.to_owned(), labels.iter().map(|one| (*one).to_owned()).collect())
    };
    let relations = Relations {
        foreign_keys: vec![
            key("placed_for", "brokerage_accounts"),
            key("via", "api_credentials"),
            key("what", "instruments"),
        ],
        labels: vec![labels("kind", &["BUY", "SELL"]), labels("phase", &["PENDING", "FILLED", "CANCELLED"])],
    };
    let mapping = map_with(&tables, &relations, &RoleOverrides::default()).unwrap();
    let found = roles(&mapping.trades);
    for one in [
        "account=placed_for",
        "key=via",
        "instrument=what",
        "side=kind",
        "status=phase",
        "quantity=filled_quantity",
        "price=execution_px",
        "executed_at=executed_time",
        "ip=remote_addr",
    ] {
        assert!(found.contains(&one.to_owned()), "{one}: {found:?}");
    }
    assert_eq!(mapping.accounts.unwrap().column(Role::Limit), Some("max_order_value"));
    let keys = mapping.keys.unwrap();
    assert_eq!(
        (keys.column(Role::Account), keys.column(Role::Scope), keys.column(Role::ExpiresAt)),
        (Some("owner_id"), Some("permissions"), Some("expires_at"))
    );
}

#[test]
fn policy_overrides_names() {
    let tables = [table("Trade", &[("id", "text"), ("amount", "numeric"), ("cost", "numeric"), ("price", "numeric")])];
    let text = "version: 1\ntrades: { roles: { value: amount, quantity: cost, price: '' } }\n";
    let overrides =
        RoleOverrides::from_texts(&[(OVERRIDES.to_owned(), text.to_owned())].into_iter().collect()).unwrap();
    let mapping = map_with(&tables, &Relations::default(), &overrides).unwrap().trades;
    assert_eq!(
        (mapping.column(Role::Value), mapping.column(Role::Quantity), mapping.column(Role::Price)),
        (Some("amount"), Some("cost"), None)
    );
    let typo = [(OVERRIDES.to_owned(), "version: 1\ntrade: {}\n".to_owned())].into_iter().collect();
    assert!(RoleOverrides::from_texts(&typo).unwrap_err().to_string().contains("did you mean `trades`"));
}

#[test]
fn a_missing_table_is_said_with_what_is_there() {
    let error =
        map_with(&[table("User", &[("id", "text")])], &Relations::default(), &RoleOverrides::default()).unwrap_err();
    assert!(error.contains("no table `Trade`") && error.contains("User"), "{error}");
}

#[test]
fn keys_accounts_and_orders_are_found_beside_it() {
    let tables = [
        table("Trade", &[("id", "text"), ("userId", "text")]),
        table("api_keys", &[("id", "text"), ("key_hash", "text"), ("revoked_at", "timestamp")]),
        table("Account", &[("id", "text"), ("provider", "text")]),
        table("User", &[("id", "text"), ("tradeLimit", "numeric"), ("dailyLimit", "numeric")]),
        table("Order", &[("id", "text"), ("symbol", "text"), ("status", "text"), ("createdAt", TIME)]),
    ];
    let mapping = map(&tables);
    assert_eq!(mapping.keys.unwrap().column(Role::Secret), Some("key_hash"));
    let accounts = mapping.accounts.unwrap();
    assert_eq!(accounts.table.name, "User", "a trade's `userId` means the users");
    assert_eq!(
        (accounts.column(Role::Limit), accounts.column(Role::DailyLimit)),
        (Some("tradeLimit"), Some("dailyLimit"))
    );
    assert_eq!(mapping.orders.unwrap().column(Role::Instrument), Some("symbol"));
}

#[test]
fn names_with_quotes_unicode_and_keywords_are_only_names() {
    let odd = "se\"lect\n; DROP TABLE x --";
    let mapping = map(&[table("Trade", &[("id", "text"), (odd, "text"), ("preço", "numeric"), ("order", "text")])]);
    assert_eq!(mapping.trades.unmapped, [odd, "preço"]);
    assert_eq!(mapping.trades.column(Role::Order), Some("order"));
}

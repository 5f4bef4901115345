use super::super::stage_tests::table;
use super::*;

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

fn plain_trades() -> Table {
    let columns = [
        ("id", "bigint"),
        ("account_id", "int"),
        ("symbol", "text"),
        ("side", "text"),
        ("quantity", "numeric"),
        ("price", "numeric"),
    ];
    table("trades", &columns)
}

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

/// A table whose key is its first column.
fn keyed(name: &str, columns: &[(&str, &str)]) -> Table {
    let mut table = table(name, columns);
    table.columns[0].primary_key = true;
    table
}

#[test]
fn prefixes_and_abbreviations_say_nothing_and_everything() {
    let trades = keyed(
        "tbl_trade_history",
        &[
            ("trd_id", "uuid"),
            ("trd_acct_id", "uuid"),
            ("trd_ord_id", "uuid"),
            ("trd_key_id", "uuid"),
            ("trd_sym", "text"),
            ("trd_side", "text"),
            ("trd_qty", "numeric"),
            ("trd_px", "numeric"),
            ("trd_amt", "numeric"),
            ("trd_comm", "numeric"),
            ("trd_src_ip", "text"),
            ("trd_exec_dt", TIME),
            ("trd_crt_dt", TIME),
            ("trd_upd_dt", TIME),
            ("trd_stat", "text"),
        ],
    );
    let keys = [
        ("key_id", "uuid"),
        ("key_acct_id", "uuid"),
        ("key_hash", "text"),
        ("key_scope", "text"),
        ("key_revoke_dt", TIME),
        ("key_exp_dt", TIME),
        ("key_crt_dt", TIME),
    ];
    let accounts =
        [("acct_id", "uuid"), ("acct_max_trd_val", "numeric"), ("acct_day_lmt", "numeric"), ("acct_close_dt", TIME)];
    let orders = [("ord_id", "uuid"), ("ord_acct_id", "uuid"), ("ord_cum_qty", "numeric"), ("ord_qty", "numeric")];
    let tables = [trades, keyed("tbl_api_key", &keys), keyed("tbl_acct", &accounts), keyed("tbl_order", &orders)];
    let mapping = map(&tables);
    let found = roles(&mapping.trades);
    for one in [
        "id=trd_id",
        "account=trd_acct_id",
        "order=trd_ord_id",
        "key=trd_key_id",
        "instrument=trd_sym",
        "side=trd_side",
        "quantity=trd_qty",
        "price=trd_px",
        "value=trd_amt",
        "fee=trd_comm",
        "ip=trd_src_ip",
        "executed_at=trd_exec_dt",
        "created_at=trd_crt_dt",
        "updated_at=trd_upd_dt",
        "status=trd_stat",
    ] {
        assert!(found.contains(&one.to_owned()), "{one}: {found:?}");
    }
    let keys = mapping.keys.unwrap();
    assert_eq!(
        [Role::Account, Role::RevokedAt, Role::ExpiresAt, Role::CreatedAt, Role::Scope].map(|role| keys.column(role)),
        [Some("key_acct_id"), Some("key_revoke_dt"), Some("key_exp_dt"), Some("key_crt_dt"), Some("key_scope")]
    );
    let accounts = mapping.accounts.unwrap();
    assert_eq!(
        [Role::Limit, Role::DailyLimit, Role::RevokedAt].map(|role| accounts.column(role)),
        [Some("acct_max_trd_val"), Some("acct_day_lmt"), Some("acct_close_dt")]
    );
    assert_eq!(mapping.orders.unwrap().column(Role::Quantity), Some("ord_qty"), "not what came of it");
}

#[test]
fn german_names_are_read() {
    let trades = [
        ("id", "bigint"),
        ("depotId", "uuid"),
        ("auftragId", "uuid"),
        ("schluesselId", "uuid"),
        ("wertpapier", "text"),
        ("richtung", "text"),
        ("stueckzahl", "numeric"),
        ("kurs", "numeric"),
        ("betrag", "numeric"),
        ("gebuehr", "numeric"),
        ("ipAdresse", "text"),
        ("ausgefuehrtAm", TIME),
        ("erstelltAm", TIME),
        ("geaendertAm", TIME),
    ];
    let prices = [("id", "bigint"), ("wertpapier", "text"), ("kurs", "numeric"), ("zeit", TIME)];
    let keys =
        [("id", "uuid"), ("depotId", "uuid"), ("widerrufenAm", TIME), ("gueltigBis", TIME), ("rechte", "text[]")];
    let depot = [("id", "uuid"), ("gesperrtAm", TIME), ("maxAuftragswert", "numeric"), ("tageslimit", "numeric")];
    let tables = [
        keyed("Kurs", &prices),
        keyed("Ausfuehrung", &trades),
        keyed("ApiSchluessel", &keys),
        keyed("Depot", &depot),
        keyed("Auftrag", &[("id", "uuid"), ("depotId", "uuid")]),
    ];
    let mapping = map(&tables);
    assert_eq!(mapping.trades.table.name, "Ausfuehrung");
    assert_eq!(mapping.trades.unmapped, Vec::<String>::new(), "{:?}", roles(&mapping.trades));
    let keys = mapping.keys.unwrap();
    assert_eq!(
        [Role::RevokedAt, Role::ExpiresAt, Role::Scope].map(|role| keys.column(role)),
        [Some("widerrufenAm"), Some("gueltigBis"), Some("rechte")]
    );
    let accounts = mapping.accounts.unwrap();
    assert_eq!(
        [Role::Limit, Role::DailyLimit, Role::RevokedAt].map(|role| accounts.column(role)),
        [Some("maxAuftragswert"), Some("tageslimit"), Some("gesperrtAm")]
    );
    assert_eq!(mapping.orders.unwrap().table.name, "Auftrag");
}

#[test]
fn what_only_the_order_says_is_read_with_it() {
    let trades =
        [("id", "uuid"), ("orderId", "uuid"), ("qty", "numeric"), ("executedPrice", "numeric"), ("executedAt", TIME)];
    let orders = [
        ("id", "uuid"),
        ("subAccountId", "uuid"),
        ("accessTokenId", "uuid"),
        ("symbol", "text"),
        ("side", "text"),
        ("qty", "numeric"),
    ];
    let tokens = [("id", "uuid"), ("tokenHash", "text"), ("revokedAt", TIME)];
    let tables = |kind: &str| {
        let mut orders = orders.to_vec();
        orders[0].1 = if kind == "text" { "text" } else { "uuid" };
        [
            keyed("Trade", &trades),
            keyed("Order", &orders),
            keyed("AccessToken", &tokens),
            keyed("Portfolio", &[("id", "uuid")]),
            keyed("SubAccount", &[("id", "uuid"), ("dailyLimit", "numeric")]),
        ]
    };
    let tables_of = tables("uuid");
    let name = |name: &str| TableName { schema: "public".into(), name: name.into() };
    let relations = Relations {
        foreign_keys: vec![(name("Order"), "subAccountId".into(), name("SubAccount"))],
        ..Relations::default()
    };
    let mapping = map_with(&tables_of, &relations, &RoleOverrides::default()).unwrap();
    for (role, column) in [
        (Role::Account, "subAccountId"),
        (Role::Key, "accessTokenId"),
        (Role::Instrument, "symbol"),
        (Role::Side, "side"),
    ] {
        assert_eq!(mapping.trades.joined(role).map(|mapped| mapped.column.as_str()), Some(column));
        assert!(mapping.trades.has(role) && mapping.trades.column(role).is_none());
    }
    assert_eq!(mapping.accounts.unwrap().table.name, "SubAccount", "the orders' foreign key, not a name that is first");
    assert_eq!(mapping.keys.unwrap().table.name, "AccessToken");
    // Ids of another type are not compared.
    assert_eq!(map(&tables("text")).trades.through, None);
}

#[test]
fn two_sided_trades_of_a_matching_engine() {
    let columns = [
        ("id", "bigint"),
        ("takerOrderId", "bigint"),
        ("makerOrderId", "bigint"),
        ("takerUserId", "uuid"),
        ("makerUserId", "uuid"),
        ("baseAsset", "text"),
        ("quoteAsset", "text"),
        ("takerSide", "text"),
        ("baseAmount", "numeric"),
        ("quoteAmount", "numeric"),
        ("price", "numeric"),
        ("dealtAt", "bigint"),
        ("createdAt", "bigint"),
    ];
    let mapping = map(&[keyed("Deal", &columns)]).trades;
    let found = roles(&mapping);
    for one in
        ["executed_at=dealtAt", "side=takerSide", "instrument=baseAsset", "currency=quoteAsset", "value=quoteAmount"]
    {
        assert!(found.contains(&one.to_owned()), "{one}: {found:?}");
    }
    assert!(mapping.is_pair());
    // What fees are paid in tells no instruments apart.
    let fees =
        map(&[keyed("Trade", &[("id", "text"), ("asset", "text"), ("feeCurrency", "text"), ("price", "numeric")])]);
    assert!(!fees.trades.is_pair());
}

#[test]
fn a_table_that_only_looks_like_trades_is_not_taken() {
    let trade = [
        ("id", "text"),
        ("buyer_id", "text"),
        ("seller_id", "text"),
        ("coin", "text"),
        ("volume", "numeric"),
        ("unit_price", "numeric"),
        ("completed_at", TIME),
    ];
    let payments =
        [("id", "text"), ("user_id", "text"), ("asset", "text"), ("amount", "numeric"), ("created_at", TIME)];
    let tables = [
        keyed("trade_messages", &[("id", "text"), ("trade_id", "text"), ("body", "text")]),
        keyed("transactions", &payments),
        keyed("paper_trades", &trade),
        keyed("p2p_trades", &trade),
    ];
    assert_eq!(map(&tables).trades.table.name, "p2p_trades");
}

#[test]
fn executions_of_orders_are_trades_though_copies_look_more_like_them() {
    let like =
        [("symbol", "text"), ("side", "text"), ("quantity", "numeric"), ("price", "numeric"), ("createdAt", TIME)];
    let with = |more: &[(&'static str, &'static str)]| [&[("id", "text")], &like[..], more].concat();
    let tables = [
        keyed("CopyTrade", &with(&[("leaderId", "text"), ("followerAccountId", "text")])),
        keyed("TradeIdea", &with(&[("accountId", "text")])),
        keyed("TradeArchive", &with(&[("accountId", "text"), ("executedAt", TIME)])),
        keyed("Transaction", &with(&[("accountId", "text"), ("executedAt", TIME)])),
        keyed("Order", &with(&[("accountId", "text"), ("contractId", "integer"), ("cumQty", "numeric")])),
        keyed("OptionContract", &[("id", "integer"), ("strike", "numeric")]),
        keyed(
            "Execution",
            &[
                ("id", "bigint"),
                ("orderId", "text"),
                ("lastQty", "numeric"),
                ("lastPx", "numeric"),
                ("transactTime", TIME),
            ],
        ),
    ];
    let mut relations = Relations::default();
    for (table, column, target) in [("Execution", "orderId", "Order"), ("Order", "contractId", "OptionContract")] {
        let name = |name: &str| TableName { schema: "public".into(), name: name.into() };
        relations.foreign_keys.push((name(table), column.to_owned(), name(target)));
    }
    let mapping = map_with(&tables, &relations, &RoleOverrides::default()).unwrap();
    assert_eq!(mapping.trades.table.name, "Execution");
    for role in [Role::Quantity, Role::Price, Role::ExecutedAt, Role::Account, Role::Side, Role::Instrument] {
        assert!(mapping.trades.has(role), "{role:?}");
    }
    assert_eq!(mapping.orders.unwrap().column(Role::Filled), Some("cumQty"));
    // Without it, the one that is no copy.
    let others = map_with(&tables[..5], &Relations::default(), &RoleOverrides::default()).unwrap();
    assert_eq!(others.trades.table.name, "Transaction");
}

#[test]
fn a_frozen_account_is_not_a_deleted_one() {
    let accounts = table(
        "trading_accounts",
        &[("id", "text"), ("deleted_at", "bigint"), ("frozen_at", "bigint"), ("max_single_trade", "numeric")],
    );
    let trades = table(
        "trades",
        &[("id", "text"), ("trading_account_id", "text"), ("symbol", "text"), ("side", "text"), ("price", "numeric")],
    );
    let found = roles(&map(&[trades, accounts]).accounts.unwrap());
    assert!(found.contains(&"revoked_at=frozen_at".to_owned()), "{found:?}");
    assert!(found.contains(&"limit=max_single_trade".to_owned()), "{found:?}");
}

#[test]
fn units_are_read_from_names() {
    for (column, places) in
        [("fee_cents", 2), ("qty_e8", 8), ("amountWei", 18), ("amount", 0), ("e", 0), ("price_e99", 0)]
    {
        assert_eq!(decimal_places(column), places, "{column}");
    }
}

#[test]
fn what_is_like_an_order_is_one_and_a_position_is_none() {
    let trade = [
        ("id", "text"),
        ("buyer_id", "text"),
        ("seller_id", "text"),
        ("buy_offer_id", "text"),
        ("sell_offer_id", "text"),
        ("position_id", "text"),
        ("coin", "text"),
        ("volume", "numeric"),
        ("unit_price", "numeric"),
    ];
    let offer =
        [("id", "text"), ("trader_id", "text"), ("coin", "text"), ("volume", "numeric"), ("unit_price", "numeric")];
    let tables = [keyed("p2p_trades", &trade), keyed("offers", &offer), keyed("positions", &offer)];
    let name = |name: &str| TableName { schema: "public".into(), name: name.into() };
    let key = |column: &str, to: &str| (name("p2p_trades"), column.to_owned(), name(to));
    let relations = Relations {
        foreign_keys: vec![
            key("position_id", "positions"),
            key("buy_offer_id", "offers"),
            key("sell_offer_id", "offers"),
        ],
        ..Relations::default()
    };
    let mapping = map_with(&tables, &relations, &RoleOverrides::default()).unwrap();
    assert_eq!(mapping.trades.column(Role::Order), Some("buy_offer_id"));
    assert_eq!(mapping.trades.column(Role::CounterOrder), Some("sell_offer_id"));
    assert_eq!(mapping.trades.unmapped, ["position_id"]);
    assert_eq!(mapping.orders.unwrap().table.name, "offers");
}

const DEALS: [(&str, &str); 11] = [
    ("id", "char(24)"),
    ("service_token_id", "char(24)"),
    ("desk_id", "char(24)"),
    ("deal_request_id", "char(24)"),
    ("currency_pair_id", "char(24)"),
    ("side", "char(1)"),
    ("quantity", "numeric"),
    ("rate", "numeric"),
    ("dealt_at", "text"),
    ("booked_at", "text"),
    ("amended_at", "text"),
];
const REQUESTS: [(&str, &str); 8] = [
    ("id", "char(24)"),
    ("desk_id", "char(24)"),
    ("currency_pair_id", "char(24)"),
    ("side", "char(1)"),
    ("requested_quantity", "numeric"),
    ("limit_rate", "numeric"),
    ("dealt_quantity", "numeric"),
    ("requested_at", "text"),
];
const DESKS: [(&str, &str); 5] = [
    ("id", "char(24)"),
    ("desk_name", "text"),
    ("max_deal_value", "numeric"),
    ("daily_turnover_cap", "numeric"),
    ("max_position", "numeric"),
];
const TOKENS: [(&str, &str); 5] = [
    ("id", "char(24)"),
    ("desk_id", "char(24)"),
    ("token_sha256", "text"),
    ("revoked_at", "text"),
    ("expires_at", "text"),
];
const PAIRS: [(&str, &str); 2] = [("id", "char(24)"), ("pair_code", "text")];

/// What is called as nobody else calls it is known by what its tables hold.
#[test]
fn tables_of_any_name_are_known_by_their_shape() {
    let name = |name: &str| TableName { schema: "public".into(), name: name.into() };
    let mut refer = Vec::new();
    for (table, column, target) in [
        ("deals", "service_token_id", "service_tokens"),
        ("deals", "desk_id", "desks"),
        ("deals", "deal_request_id", "deal_requests"),
        ("deals", "currency_pair_id", "currency_pairs"),
        ("deal_requests", "desk_id", "desks"),
        ("deal_requests", "currency_pair_id", "currency_pairs"),
        ("service_tokens", "desk_id", "desks"),
    ] {
        refer.push((name(table), column.to_owned(), name(target)));
    }
    let relations = Relations { foreign_keys: refer, ..Relations::default() };
    let with = |tokens: &[(&str, &str)], desks: &[(&str, &str)]| {
        let tables = [
            keyed("deals", &DEALS),
            keyed("deal_requests", &REQUESTS),
            keyed("desks", desks),
            keyed("service_tokens", tokens),
            keyed("currency_pairs", &PAIRS),
        ];
        map_with(&tables, &relations, &RoleOverrides::default()).unwrap()
    };
    let mapping = with(&TOKENS, &DESKS);
    let found = roles(&mapping.trades);
    for one in [
        "key=service_token_id",
        "account=desk_id",
        "order=deal_request_id",
        "instrument=currency_pair_id",
        "price=rate",
        "executed_at=dealt_at",
        "created_at=booked_at",
        "updated_at=amended_at",
    ] {
        assert!(found.contains(&one.to_owned()), "{one}: {found:?}");
    }
    let orders = roles(mapping.orders.as_ref().unwrap());
    for one in ["account=desk_id", "filled=dealt_quantity", "created_at=requested_at"] {
        assert!(orders.contains(&one.to_owned()), "{one}: {orders:?}");
    }
    let beside = [mapping.keys, mapping.accounts, mapping.orders].map(|table| table.unwrap().table.name);
    assert_eq!(beside, ["service_tokens", "desks", "deal_requests"]);
    // Coins are called tokens too, and markets have limits.
    let coins = [("id", "char(24)"), ("symbol", "text"), ("token_address", "text"), ("deleted_at", "text")];
    let markets = [("id", "char(24)"), ("market", "text"), ("max_position", "numeric"), ("daily_limit", "numeric")];
    let found = roles(&with(&coins, &markets).trades);
    assert!(!found.iter().any(|one| one.starts_with("key=") || one.starts_with("account=")), "{found:?}");
}

/// A table whose key is these columns.
fn with_key(name: &str, columns: &[(&str, &str)], key: &[&str]) -> Table {
    let mut table = table(name, columns);
    for column in &mut table.columns {
        column.primary_key = key.contains(&column.name.as_str());
    }
    table
}

fn named(name: &str) -> TableName {
    TableName { schema: "public".into(), name: name.into() }
}

#[test]
fn a_key_of_several_columns_is_the_id_the_one_that_tells_most_rows_apart_first() {
    let columns = [
        ("symbol", "text"),
        ("order_id", "bigint"),
        ("seq", "integer"),
        ("side", "text"),
        ("qty", "numeric"),
        ("price", "numeric"),
        ("executed_at", TIME),
    ];
    let mapping = map(&[with_key("fills", &columns, &["symbol", "seq", "order_id"])]).trades;
    assert_eq!(mapping.column(Role::Id), None);
    let parts: Vec<_> = mapping.composite.iter().map(|part| part.column.as_str()).collect();
    assert_eq!(parts, ["order_id", "seq", "symbol"]);
    let alone = map(&[with_key("fills", &columns, &["seq"])]).trades;
    assert_eq!((alone.column(Role::Id), alone.composite.len()), (Some("seq"), 0));
}

#[test]
fn a_pair_of_base_and_quote_is_the_instrument() {
    let mapping = map(&[table(
        "fills",
        &[
            ("id", "bigint"),
            ("base", "text"),
            ("quote", "text"),
            ("is_buyer_maker", "boolean"),
            ("size_sat", "bigint"),
            ("price_e8", "text"),
            ("quote_e8", "text"),
        ],
    )])
    .trades;
    let found = roles(&mapping);
    for one in ["instrument=base", "currency=quote", "value=quote_e8", "side=is_buyer_maker"] {
        assert!(found.contains(&one.to_owned()), "{one} is not in {found:?}");
    }
    assert!(mapping.is_pair() && mapping.side_is_of_the_maker());
}

#[test]
fn a_day_or_a_time_of_day_is_no_moment_beside_one() {
    let columns = |created: &'static str| {
        [
            ("id", "bigint"),
            ("symbol", "text"),
            ("qty", "numeric"),
            ("price", "numeric"),
            ("trade_date", "date"),
            ("trade_time", "time without time zone"),
            ("recorded_at", created),
        ]
    };
    let mapping = map(&[table("trades", &columns(TIME))]).trades;
    assert_eq!((mapping.column(Role::ExecutedAt), mapping.column(Role::CreatedAt)), (None, Some("recorded_at")));
    let days = map(&[table("trades", &columns("date"))]).trades;
    assert_eq!(days.column(Role::ExecutedAt), Some("trade_date"));
}

#[test]
fn labels_say_what_is_no_side_and_what_two_letters_are() {
    let trades = table(
        "Transaction",
        &[
            ("id", "bigint"),
            ("accountId", "bigint"),
            ("txnType", "text"),
            ("dir", "text"),
            ("symbol", "text"),
            ("qty", "numeric"),
            ("px", "bigint"),
            ("ts_exec", TIME),
            ("ts_booked", TIME),
        ],
    );
    let labels = |column: &str, labels: &[&str]| {
        (named("Transaction"), column.to_owned(), labels.iter().map(|label| (*label).to_owned()).collect())
    };
    let relations = Relations {
        labels: vec![labels("txnType", &["TRADE", "DEPOSIT", "FEE"]), labels("dir", &["B", "S"])],
        ..Relations::default()
    };
    let mapping = map_with(&[trades], &relations, &RoleOverrides::default()).unwrap().trades;
    assert_eq!(mapping.column(Role::Side), Some("dir"));
    assert_eq!(mapping.column(Role::CreatedAt), Some("ts_booked"));
    assert_eq!(mapping.unmapped, ["txnType"]);
}

#[test]
fn listings_and_grants_of_any_name_are_known_by_their_columns() {
    let tables = [
        table(
            "Transaction",
            &[
                ("id", "bigint"),
                ("memberId", "bigint"),
                ("listingId", "bigint"),
                ("grantId", "uuid"),
                ("side", "text"),
                ("qty", "numeric"),
                ("px", "bigint"),
                ("executedAt", TIME),
            ],
        ),
        table("Listing", &[("id", "bigint"), ("securityId", "bigint"), ("mic", "text")]),
        table("Security", &[("id", "bigint"), ("isin", "text")]),
        table("Member", &[("id", "bigint"), ("email", "text")]),
        table(
            "AccessGrant",
            &[
                ("id", "uuid"),
                ("memberId", "bigint"),
                ("secretDigest", "text"),
                ("allows", "text[]"),
                ("allowedNets", "inet[]"),
                ("withdrawnAt", TIME),
                ("lapsesAt", TIME),
            ],
        ),
    ];
    let key = |from: &str, column: &str, to: &str| (named(from), column.to_owned(), named(to));
    let relations = Relations {
        foreign_keys: vec![
            key("Transaction", "listingId", "Listing"),
            key("Transaction", "grantId", "AccessGrant"),
            key("Transaction", "memberId", "Member"),
            key("AccessGrant", "memberId", "Member"),
            key("Listing", "securityId", "Security"),
        ],
        ..Relations::default()
    };
    let mapping = map_with(&tables, &relations, &RoleOverrides::default()).unwrap();
    assert_eq!(mapping.trades.column(Role::Instrument), Some("listingId"));
    assert_eq!(mapping.trades.column(Role::Key), Some("grantId"));
    let keys = mapping.keys.unwrap();
    for (role, column) in [
        (Role::Scope, "allows"),
        (Role::RevokedAt, "withdrawnAt"),
        (Role::ExpiresAt, "lapsesAt"),
        (Role::Account, "memberId"),
    ] {
        assert_eq!(keys.column(role), Some(column));
    }
}

/// Foreign keys as `table.column` and the table they name.
fn referring(pairs: &[(&str, &str, &str)]) -> Relations {
    let key = |(from, column, to): &(&str, &str, &str)| (named(from), (*column).to_owned(), named(to));
    Relations { foreign_keys: pairs.iter().map(key).collect(), ..Relations::default() }
}

#[test]
fn keys_of_owners_are_told_from_keys_of_accounts() {
    let tables = |of_key: &str, of_account: &str| {
        [
            table(
                "Trade",
                &[
                    ("id", "text"),
                    ("accountId", "text"),
                    ("apiKeyId", "text"),
                    ("symbol", "text"),
                    ("side", "text"),
                    ("quantity", "numeric"),
                    ("price", "numeric"),
                    ("executedAt", TIME),
                ],
            ),
            table("User", &[("id", "text"), ("email", "text")]),
            table("Account", &[("id", "text"), (of_account, "text"), ("createdAt", TIME)]),
            table("ApiKey", &[("id", "text"), (of_key, "text"), ("keyHash", "text"), ("revokedAt", TIME)]),
        ]
    };
    let told = |of_key: &str, of_account: &str, keys: &[(&str, &str, &str)]| {
        let mapping = map_with(&tables(of_key, of_account), &referring(keys), &RoleOverrides::default()).unwrap();
        let has = |mapping: &Option<Mapping>, role: Role| mapping.as_ref().unwrap().has(role);
        (mapping.keys_of_owners, has(&mapping.keys, Role::Account), has(&mapping.accounts, Role::User))
    };
    let trades = ("Trade", "accountId", "Account");
    let both = [trades, ("ApiKey", "userId", "User"), ("Account", "userId", "User")];
    assert_eq!(told("userId", "userId", &both), (true, true, true));
    assert_eq!(told("userId", "userId", &[]), (true, true, true), "by the same name");
    let own = [trades, ("ApiKey", "accountId", "Account"), ("Account", "userId", "User")];
    assert_eq!(told("accountId", "userId", &own), (false, true, true));
    assert_eq!(told("accountId", "userId", &[]), (false, true, true));
    let stray = [trades, ("ApiKey", "userId", "User")];
    assert_eq!(told("userId", "note", &stray), (false, false, false), "of nobody whose account is known");
}

#[test]
fn limits_may_lie_in_a_table_of_their_own() {
    let told = |name: &str, own: &str, columns: &[(&str, &str)]| {
        let trades = plain_trades();
        let accounts = table("accounts", &[("id", "int"), (own, "numeric"), ("created_at", TIME)]);
        let limits = table(name, columns);
        let mapping = map(&[trades, accounts, limits]);
        mapping.limits.map(|limits| roles(&limits)).unwrap_or_default()
    };
    let columns = [
        ("id", "int"),
        ("account_id", "int"),
        ("max_notional", "numeric"),
        ("max_daily_notional", "numeric"),
        ("effective_from", TIME),
        ("effective_to", TIME),
    ];
    let found = told("risk_limits", "note", &columns);
    for one in [
        "account=account_id",
        "limit=max_notional",
        "daily_limit=max_daily_notional",
        "created_at=effective_from",
        "expires_at=effective_to",
    ] {
        assert!(found.contains(&one.to_owned()), "{one} is not in {found:?}");
    }
    assert!(told("risk_limits", "trade_limit", &columns).is_empty(), "the accounts have their own");
    assert!(told("withdrawal_limits", "note", &columns).is_empty());
    let of_instruments = [&columns[..], &[("symbol", "text")]].concat();
    assert!(told("risk_limits", "note", &of_instruments).is_empty());
}

/// Trades of tickets of desks, without a foreign key anywhere.
fn desks(ticket: &str, more: &[Table]) -> SchemaMapping {
    let mut tables = vec![
        table(
            "executions",
            &[
                ("id", "uuid"),
                ("ticket_id", ticket),
                ("desk_id", "uuid"),
                ("isin", "text"),
                ("side", "text"),
                ("last_qty", "int"),
                ("last_px", "numeric"),
                ("transact_time", TIME),
            ],
        ),
        table(
            "tickets",
            &[("id", "uuid"), ("desk_id", "uuid"), ("isin", "text"), ("order_qty", "int"), ("limit_px", "numeric")],
        ),
        table("desks", &[("id", "uuid"), ("base_ccy", "text"), ("opened_at", TIME), ("closed_at", TIME)]),
        table(
            "desk_limits",
            &[("id", "uuid"), ("desk_id", "uuid"), ("max_order_notional", "numeric"), ("effective_from", TIME)],
        ),
    ];
    tables.extend_from_slice(more);
    map(&tables)
}

#[test]
fn names_tell_relations_that_the_database_does_not_hold() {
    let of = |mapping: &SchemaMapping| {
        let name = |one: &Option<Mapping>| one.as_ref().map(|one| one.table.name.clone());
        (mapping.trades.column(Role::Order).map(String::from), name(&mapping.orders), name(&mapping.accounts))
    };
    let some = |text: &str| Some(text.to_owned());
    let found = desks("uuid", &[]);
    assert_eq!(of(&found), (some("ticket_id"), some("tickets"), some("desks")));
    assert_eq!(found.trades.column(Role::Account), Some("desk_id"));
    assert!(found.limits.is_some_and(|limits| limits.has(Role::Limit)));
    assert_eq!(of(&desks("bigint", &[])).1, None, "the type of the key is another one");
    let two = table("ticket", &[("id", "uuid"), ("note", "text")]);
    assert_eq!(of(&desks("uuid", &[two])).1, None, "either could be meant");
}

#[test]
fn a_foreign_key_says_more_than_a_name() {
    let tables = [
        table("Fill", &[("id", "text"), ("symbol", "text"), ("qty", "int"), ("price", "numeric"), ("deskId", "text")]),
        table("Desk", &[("id", "text"), ("city", "text")]),
        table("Trader", &[("id", "text"), ("name", "text")]),
    ];
    let accounts = |relations: &Relations| {
        let found = map_with(&tables, relations, &RoleOverrides::default()).unwrap();
        (found.trades.column(Role::Account).map(String::from), found.accounts.unwrap().table.name)
    };
    assert_eq!(accounts(&referring(&[("Fill", "deskId", "Trader")])), (Some("deskId".into()), "Trader".into()));
    assert_eq!(accounts(&Relations::default()), (None, "Trader".into()), "a desk without keys or limits is no account");
}

#[test]
fn who_has_keys_is_an_account_and_what_has_none_is_not() {
    let told = |key: &[(&str, &str)]| {
        let columns =
            [("id", "text"), ("symbol", "text"), ("qty", "int"), ("price", "numeric"), ("forecasterId", "text")];
        let secret = [&[("id", "text"), ("forecasterId", "text")][..], key].concat();
        let tables = [
            table("Fill", &columns),
            table("Forecaster", &[("id", "text"), ("handle", "text")]),
            table("Pass", &secret),
        ];
        map(&tables).trades.column(Role::Account).map(String::from)
    };
    assert_eq!(told(&[("hash", "text"), ("revokedAt", TIME), ("expiresAt", TIME)]), Some("forecasterId".into()));
    assert_eq!(told(&[("hash", "text"), ("scopes", "text[]")]), Some("forecasterId".into()));
    assert_eq!(told(&[("hash", "text"), ("madeAt", TIME)]), None);
    assert_eq!(told(&[("hash", "text"), ("scopes", "text[]"), ("symbol", "text")]), None, "of an instrument");
}

#[test]
fn one_thing_given_for_another_is_a_trade_of_two_amounts() {
    let columns = |first: &'static str, second: &'static str, worth: &'static str| {
        [
            ("id", "bigint"),
            ("accountId", "text"),
            (first, "text"),
            (second, "text"),
            ("fromAmountMinor", "bigint"),
            ("toAmountMinor", "bigint"),
            ("rate", "numeric"),
            (worth, "bigint"),
            ("bookedAt", TIME),
        ]
    };
    let found = map(&[table("Conversion", &columns("fromCurrency", "toCurrency", "homeEquivalentMinor"))]).trades;
    let roles = roles(&found);
    for one in ["instrument=fromCurrency", "currency=toCurrency", "quantity=fromAmountMinor", "value=toAmountMinor"] {
        assert!(roles.contains(&one.to_owned()), "{one} is not in {roles:?}");
    }
    assert!(found.is_pair() && found.is_exchange() && !found.is_of_outcomes());
    assert_eq!(found.column(Role::Worth), Some("homeEquivalentMinor"));
    let fee = map(&[table("Conversion", &columns("sourceAsset", "targetAsset", "usdFeeAmount"))]).trades;
    assert_eq!((fee.is_exchange(), fee.column(Role::Worth)), (true, None));
    let people = map_with(
        &[table("Trade", &columns("fromId", "toId", "note"))],
        &Relations::default(),
        &RoleOverrides::default(),
    );
    assert!(!people.unwrap().trades.is_pair(), "they may be people");
    let base =
        table("Trade", &[("id", "text"), ("baseAsset", "text"), ("quoteAsset", "text"), ("usdValue", "numeric")]);
    let base = map(&[base]).trades;
    assert!(base.is_pair() && !base.is_exchange());
}

#[test]
fn an_outcome_is_part_of_what_was_traded() {
    let columns = |column: &'static str| {
        let mut named = table(
            "Trade",
            &[
                ("id", "text"),
                ("marketId", "text"),
                (column, "text"),
                ("qty", "int"),
                ("price", "numeric"),
                ("at", TIME),
            ],
        );
        named.columns[2].data_type = "\"outcome\"".into();
        named
    };
    let labelled = |column: &'static str, labels: &[&str]| {
        let labels = labels.iter().map(|label| (*label).to_owned()).collect();
        let relations = Relations { labels: vec![(named("Trade"), column.into(), labels)], ..Relations::default() };
        map_with(&[columns(column)], &relations, &RoleOverrides::default()).unwrap().trades
    };
    let found = labelled("side", &["YES", "NO"]);
    assert!(found.is_pair() && found.is_of_outcomes() && !found.is_exchange());
    assert_eq!((found.column(Role::Side), found.column(Role::Currency)), (None, Some("side")));
    assert!(labelled("outcome", &["HOME", "AWAY", "DRAW"]).is_of_outcomes());
    assert!(!labelled("side", &["BUY", "SELL"]).is_pair());
    assert!(!labelled("settled", &["YES", "NO", "PARTLY"]).is_pair());
}

#[test]
fn executions_with_one_moment_of_any_name_are_trades_by_their_orders() {
    let executions = |nullable: bool| {
        let mut pairing = table(
            "Pairing",
            &[
                ("id", "text"),
                ("marketId", "text"),
                ("takerId", "text"),
                ("bidId", "text"),
                ("qty", "int"),
                ("price", "numeric"),
                ("pairedAt", TIME),
                ("paidAt", TIME),
            ],
        );
        pairing.columns[6].nullable = nullable;
        let bids = table(
            "Bid",
            &[("id", "text"), ("userId", "text"), ("marketId", "text"), ("qty", "int"), ("price", "numeric")],
        );
        map(&[pairing, bids, table("User", &[("id", "text")])])
    };
    let found = executions(false);
    assert_eq!(found.trades.column(Role::ExecutedAt), Some("pairedAt"));
    assert_eq!(found.orders.unwrap().table.name, "Bid");
    assert_eq!(executions(true).trades.column(Role::ExecutedAt), None, "rows may lack it");
}

#[test]
fn a_table_may_say_when_trading_was_halted() {
    let told = |name: &str, columns: &[(&str, &str)], relations: &[(&str, &str)]| {
        let trades = plain_trades();
        let halts = table(name, columns);
        let mut known = Relations::default();
        for (column, target) in relations {
            let target = TableName { schema: "public".into(), name: (*target).into() };
            known.foreign_keys.push((halts.name.clone(), (*column).into(), target));
        }
        let tables = [trades, halts, table("accounts", &[("id", "int")]), table("venues", &[("id", "int")])];
        let overrides = RoleOverrides::default();
        let catalog = Catalog { tables: &tables, relations: &known, overrides: &overrides };
        map_schema(catalog, None, "trades").unwrap().halts.map(|halts| roles(&halts)).unwrap_or_default()
    };
    let columns = [
        ("id", "int"),
        ("symbol", "text"),
        ("reason", "text"),
        ("halted_at", TIME),
        ("resumed_at", TIME),
        ("halted_by_id", "int"),
    ];
    let expected = ["id=id", "instrument=symbol", "created_at=halted_at", "expires_at=resumed_at"];
    for (name, relations) in [("trading_halts", &[][..]), ("MarketHalt", &[("halted_by_id", "accounts")])] {
        let mut found = told(name, &columns, relations);
        found.sort_by_key(|one| expected.iter().position(|other| other == one));
        assert_eq!(found, expected, "{name}");
    }
    let windows = [("id", "int"), ("starts_at", TIME), ("ends_at", TIME), ("created_at", TIME)];
    assert_eq!(told("trading_pauses", &windows, &[]), ["created_at=starts_at", "expires_at=ends_at", "id=id"]);
    assert_eq!(told("kill_switch_activations", &windows, &[]).len(), 3);
    // Of others, or of parts.
    for name in ["subscription_pauses", "account_freezes", "sessions", "maintenance_windows", "withdrawal_suspensions"]
    {
        assert!(told(name, &windows, &[]).is_empty(), "{name}");
    }
    for more in ["account_id", "venue_id", "exchange"] {
        let more = [&windows[..], &[(more, "text")]].concat();
        assert!(told("trading_pauses", &more, &[]).is_empty(), "{more:?}");
    }
    let more = [&windows[..], &[("venue", "int")]].concat();
    assert!(told("trading_pauses", &more, &[("venue", "venues")]).is_empty());
    // Without an end, or with one that was only meant.
    assert!(told("trading_pauses", &windows[..2], &[]).is_empty());
    let meant = [("id", "int"), ("starts_at", TIME), ("scheduled_end_at", TIME)];
    assert!(told("trading_pauses", &meant, &[]).is_empty());
}

#[test]
fn the_limit_of_an_order_is_known_by_its_name() {
    let told = |price: &str| {
        let order = table("Order", &[("id", "text"), ("symbol", "text"), ("quantity", "numeric"), (price, "numeric")]);
        let trade = table(
            "Trade",
            &[("id", "text"), ("orderId", "text"), ("symbol", "text"), ("quantity", "numeric"), ("price", "numeric")],
        );
        let orders = map(&[trade, order]).orders.unwrap();
        (orders.column(Role::LimitPrice).is_some(), orders.column(Role::Price).is_some())
    };
    for name in ["limitPrice", "limit_px", "limit"] {
        assert_eq!(told(name), (true, false), "{name}");
    }
    assert_eq!(told("price"), (false, true));
    for name in ["stopLimitPrice", "dailyLimit", "limitQuantity"] {
        assert!(!told(name).0, "{name}");
    }
}
